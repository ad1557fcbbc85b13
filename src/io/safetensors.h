// The safetensors file format: read by memory map, written whole or not at all.
//
// Layout: 8-byte little-endian header length, JSON header, tensor bytes. Ref: docs/formats.md.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace loraptor::io {

/// One tensor of a file.
struct TensorInfo {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin_bytes;  // from the start of the file
  uint64_t size_bytes;
};

using Metadata = std::map<std::string, std::string>;
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// An opened file. Tensors are views of the mapping, which lives as long as any of them.
class SafetensorsFile : public std::enable_shared_from_this<SafetensorsFile> {
 public:
  /// Maps the file and checks its whole header.
  ///   memory_map   false: read the bytes with plain reads instead (--disable_mmap_load_safetensors)
  /// Throws FileError naming the tensor and the offsets for every malformed header: unknown or missing members,
  /// sizes that do not follow from dtype and shape, tensors that do not tile the data section, duplicate names.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path, bool memory_map = true);
  virtual ~SafetensorsFile() = default;

  virtual const std::filesystem::path& path() const = 0;
  /// Names in the order of their bytes in the file.
  virtual const std::vector<std::string>& names() const = 0;
  virtual bool has(const std::string& name) const = 0;
  /// Throws FileError (with the nearest names) if there is no such tensor.
  virtual const TensorInfo& info(const std::string& name) const = 0;
  /// The tensor in the file's dtype on the CPU, without copying: read-only memory, never write to it. (Only a tensor
  /// that a foreign writer left at an offset unsuited to its dtype is copied.)
  virtual at::Tensor tensor(const std::string& name) const = 0;
  virtual const Metadata& metadata() const = 0;
};

/// Header and data offsets of a file with these tensors, in the order of the reference's writer: dtype descending
/// (BOOL < U8 < I8 < F8_E5M2 < F8_E4M3 < I16 < F16 < BF16 < I32 < F32 < F64 < I64), then name; `__metadata__` comes
/// first, sorted by key. Names must be distinct.
///   always_metadata   write `__metadata__` if it is empty too, as Python's safetensors does with `metadata={}`
/// Ref: safetensors 0.4.5 safetensors/src/tensor.rs:prepare.
struct SafetensorsLayout {
  std::string header;         // with its 8-byte length, padded with blanks to a multiple of 8
  std::vector<size_t> order;  // indices into the tensors
  uint64_t data_bytes = 0;
};
SafetensorsLayout safetensors_layout(const NamedTensors& tensors, const Metadata& metadata,
                                     bool always_metadata = false);

/// Writes a file atomically. Tensors may be on any device and of any strides; one is copied at a time.
/// Throws FileError.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});

/// The data section (everything after the header) as it would be written, fed to `sink` piece by piece.
void stream_safetensors_data(const NamedTensors& tensors, const SafetensorsLayout& layout,
                             const std::function<void(const void*, size_t)>& sink);

}  // namespace loraptor::io
