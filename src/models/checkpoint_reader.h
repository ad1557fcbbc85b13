// One part (mmdit, vae, clip_l, clip_g, t5xxl) of a checkpoint file: its tensors by their plain names.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace loraptor::models {

/// Where the tensors of a part go while they are read.
struct LoadOptions {
  at::ScalarType dtype = at::kFloat;  // float tensors are converted to it
  at::Device device = at::kCPU;
};

/// Reads the tensors of one part, each once, checked for presence and shape.
class PartReader {
 public:
  /// names   plain name -> name in the file
  PartReader(std::shared_ptr<const io::SafetensorsFile> file, std::string part, std::map<std::string, std::string> names,
             LoadOptions options);

  bool has(const std::string& name) const { return names_.count(name) != 0; }
  const std::vector<int64_t>& shape(const std::string& name) const;

  /// The tensor in the load dtype on the load device. Without conversion it is a view of the mapped file.
  /// Scaled fp8 (a `.scale_weight` tensor beside the weight) is multiplied out.
  /// Throws FileError naming file, part and tensor if it is missing or its shape differs.
  at::Tensor get(const std::string& name, at::IntArrayRef shape) const;

  const std::filesystem::path& path() const { return file_->path(); }
  const std::string& part() const { return part_; }
  const LoadOptions& options() const { return options_; }
  /// The plain names, sorted.
  std::vector<std::string> names() const;

 private:
  [[noreturn]] void missing(const std::string& name) const;

  std::shared_ptr<const io::SafetensorsFile> file_;
  std::string part_;
  std::map<std::string, std::string> names_;
  LoadOptions options_;
};

}  // namespace loraptor::models
