// Large safetensors files one tensor at a time: read into memory of their own, written while the values are made.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace loraptor::io {

/// Reads tensors of an opened file with plain reads. A pass over a file much larger than the memory keeps none of it,
/// where the pages of a map would pile up.
class TensorReader {
 public:
  /// Throws FileError if the file cannot be opened again.
  explicit TensorReader(std::shared_ptr<const SafetensorsFile> file);
  ~TensorReader();
  TensorReader(const TensorReader&) = delete;
  TensorReader& operator=(const TensorReader&) = delete;

  const SafetensorsFile& file() const { return *file_; }

  /// The tensor in the file's dtype, on the CPU, the caller's own.
  /// Throws FileError for an unknown name, or if the file has become shorter or cannot be read.
  at::Tensor read(const std::string& name) const;

  /// The same into `buffer`, which is made anew only if it has another dtype or less memory.
  void read_into(const std::string& name, at::Tensor& buffer) const;

  /// Says that the tensor is read soon: the system may fetch it while the caller computes.
  void expect(const std::string& name) const;

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  int descriptor_ = -1;
};

/// A tensor of a file to be written.
struct PlannedTensor {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> make;  // called once, when its turn comes; any device
};

/// Called after each tensor with the bytes written so far and those of all tensors.
using WriteProgress = std::function<void(uint64_t done, uint64_t total)>;

/// Writes a file like write_safetensors, with two tensors in memory at a time: one is written while the next is made.
/// Throws FileError, and whatever a `make` throws; then the old file, if there was one, is still there.
void write_planned_safetensors(const std::filesystem::path& path, const std::vector<PlannedTensor>& tensors,
                               const Metadata& metadata, const WriteProgress& progress = {});

}  // namespace loraptor::io
