// Named arrays in a file, whatever its kind.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace loraptor::io {

/// What the header of an array says.
struct NpyInfo {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  bool fortran_order = false;  // the first index runs fastest
};

/// Arrays by name. Not for use by several threads at once.
class ArrayFile {
 public:
  virtual ~ArrayFile() = default;

  /// The file they lie in, for messages.
  virtual const std::filesystem::path& path() const = 0;
  virtual bool has(const std::string& name) const = 0;
  /// Dtype and shape, without reading the numbers. Throws FileError if there is no such array.
  virtual NpyInfo info(const std::string& name) const = 0;
  /// The array in its own dtype, C order, memory of its own. Throws FileError, also if its bytes were damaged.
  virtual at::Tensor read(const std::string& name) const = 0;
  /// A checksum that is known without reading the array: tells whether it changed.
  virtual uint32_t checksum(const std::string& name) const = 0;
};

}  // namespace loraptor::io
