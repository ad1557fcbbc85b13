// One part (mmdit, vae, clip_l, clip_g, t5xxl) of a checkpoint file: its tensors by their plain names.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "models/checkpoint_keys.h"

namespace loraptor::models {

/// Where the tensors of a part go while they are read.
struct LoadOptions {
  at::ScalarType dtype = at::kFloat;  // float tensors are converted to it
  at::Device device = at::kCPU;
};

/// Reads the tensors of one part, each once, checked for presence and shape. Cheap to copy.
class PartReader {
 public:
  /// names   plain name -> name in the file, or where its pieces lie
  PartReader(std::shared_ptr<const io::SafetensorsFile> file, std::string part, TensorNames names, LoadOptions options);
  PartReader(std::shared_ptr<const io::SafetensorsFile> file, std::string part,
             const std::map<std::string, std::string>& names, LoadOptions options);

  bool has(const std::string& name) const { return entries_->count(name) != 0; }
  /// Throws FileError if there is no such tensor.
  const std::vector<int64_t>& shape(const std::string& name) const { return entry(name).shape; }
  const TensorSource& source(const std::string& name) const { return entry(name).source; }
  /// The element type in the file.
  at::ScalarType stored_dtype(const std::string& name) const;

  /// The tensor in the load dtype on the load device. Without conversion it is a view of the mapped file.
  /// Scaled fp8 (a `.scale_weight` tensor beside the weight) is multiplied out.
  /// Throws FileError naming file, part and tensor if it is missing or its shape differs.
  at::Tensor get(const std::string& name, at::IntArrayRef shape) const;

  /// The same part, read in another dtype, and onto another device if one is given.
  PartReader as(at::ScalarType dtype, std::optional<at::Device> device = std::nullopt) const;

  const std::filesystem::path& path() const { return file_->path(); }
  const std::string& part() const { return part_; }
  const LoadOptions& options() const { return options_; }
  /// The plain names, sorted.
  std::vector<std::string> names() const;

 private:
  struct Entry {
    TensorSource source;
    std::vector<int64_t> shape;
  };

  const Entry& entry(const std::string& name) const;
  Entry make_entry(const std::string& name, TensorSource source) const;
  at::Tensor piece(const std::string& file_name) const;

  std::shared_ptr<const io::SafetensorsFile> file_;
  std::string part_;
  std::shared_ptr<const std::map<std::string, Entry>> entries_;
  LoadOptions options_;
};

}  // namespace loraptor::models
