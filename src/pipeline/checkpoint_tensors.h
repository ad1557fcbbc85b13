// A checkpoint file read a tensor at a time: what lies where, and values without scales.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/safetensors_stream.h"
#include "models/checkpoint_keys.h"
#include "network/network.h"

namespace loraptor::pipeline {

/// Where a piece of a LoRA target lies in a file.
struct TargetPiece {
  std::string module;      // name of the LoRA module, e.g. lora_unet_joint_blocks_0_x_block_attn_qkv
  int64_t first_row = 0;   // of the layer's weight; diffusers' files hold q, k and v apart
  int64_t layer_rows = 0;  // of the whole layer
  bool swap_halves = false;
};

class CheckpointTensors {
 public:
  explicit CheckpointTensors(const std::filesystem::path& path);

  const io::SafetensorsFile& file() const { return reader_.file(); }
  const io::TensorReader& reader() const { return reader_; }

  /// In the file's dtype.
  at::Tensor raw(const std::string& name) const { return reader_.read(name); }
  /// float32, scaled fp8 multiplied out.
  at::Tensor value(const std::string& name) const;
  /// A tensor of the original layout, put together of its pieces. float32.
  at::Tensor value(const models::TensorSource& source) const;
  /// Name of the scale tensor of an 8-bit weight, or "" if it has none.
  std::string scale_name(const std::string& name) const;

 private:
  io::TensorReader reader_;
};

/// These names of a file with those of the scales beside their weights and the mark of scaled fp8 that stands before
/// them.
std::set<std::string> with_scales(std::set<std::string> names, const io::SafetensorsFile& file);

/// The network's name for a part. The VAE has none.
network::TargetModel target_model(models::Part part);

/// Every weight of the file that a LoRA may change: name in the file -> the piece of the module it is.
///   parts      which parts to look for
///   embedded   as for models::find_part
std::map<std::string, TargetPiece> target_pieces(const io::SafetensorsFile& file,
                                                 const std::vector<models::Part>& parts, bool embedded);

}  // namespace loraptor::pipeline
