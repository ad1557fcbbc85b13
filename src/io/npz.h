// NumPy's npz archives: a zip file with one npy array per entry.
//
// Sizes that a file claims are never trusted: each is checked against the archive and the file before memory is
// reserved for it. Ref: docs/formats.md; NumPy 2.0 numpy/lib/_format_impl.py, numpy/lib/_npyio_impl.py:_savez.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/array_file.h"
#include "io/safetensors.h"

namespace loraptor::io {

/// An opened archive. Not for use by several threads at once.
class NpzFile final : public ArrayFile {
 public:
  /// Reads the directory of the archive.
  /// Throws FileError for a missing, truncated or foreign file, an entry twice, an entry whose size cannot be.
  explicit NpzFile(std::filesystem::path path);
  ~NpzFile() override;
  NpzFile(NpzFile&&) noexcept;
  NpzFile& operator=(NpzFile&&) noexcept;

  const std::filesystem::path& path() const override;
  /// Names of the arrays (without `.npy`) in the order of the archive. Entries that are no arrays are left out.
  const std::vector<std::string>& names() const;
  bool has(const std::string& name) const override;

  /// Reads only the header. Throws FileError naming the array: there is none of that name, wrong magic, unknown
  /// version, a dtype that is no little-endian number (Python objects, big-endian, complex, text), or a size that does
  /// not follow from dtype and shape.
  NpyInfo info(const std::string& name) const override;

  /// The array in its own dtype, C order, memory of its own. Throws FileError as info() does, and if the checksum of
  /// the data is wrong.
  at::Tensor read(const std::string& name) const override;

  /// The whole entry as bytes, header included, whatever it holds. Throws FileError if the checksum is wrong.
  std::string read_bytes(const std::string& name) const;

  /// CRC-32 of the entry as the directory gives it: tells whether an array changed without reading it.
  uint32_t checksum(const std::string& name) const override;

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

/// Writes an archive as np.savez does (uncompressed, no time stamps, so equal arrays give equal files), whole or not at
/// all. Dtypes: float16/32/64, int8/16/32/64, uint8, bool.
///   keep      an archive whose other arrays are kept as they are, and before the new ones; nullptr: none
///   without   tells the arrays of `keep` that are left out too
/// Throws FileError.
void write_npz(const std::filesystem::path& path, const NamedTensors& tensors, const NpzFile* keep = nullptr,
               const std::function<bool(const std::string& name)>& without = {});

/// The header of an npy file (version 1.0) with its padding, byte for byte as NumPy 2.0 writes it.
std::string npy_header(at::ScalarType dtype, at::IntArrayRef shape);

}  // namespace loraptor::io
