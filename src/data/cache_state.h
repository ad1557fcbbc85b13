// What was found when looking for a cache.
#pragma once

#include <string>
#include <vector>

#include "io/npz.h"

namespace loraptor::data {

enum class CacheState {
  absent,
  usable,    // whole, and made from what is there now, as far as is known
  stale,     // made from another image, caption, crop or model
  unusable,  // damaged, or of wrong dtype or shape
};

struct CacheFinding {
  CacheState state = CacheState::absent;
  std::string why{};         // for stale and unusable
  std::string contents{};    // checksum of the arrays, for usable and stale
  bool is_recorded = false;  // loraptor_cache.json tells what it was made from
};

/// Checksum of some arrays of a file, without reading them: 16 hexadecimal digits.
std::string contents_of(const io::ArrayFile& file, const std::vector<std::string>& names);

/// Throws FileError unless the array is there with one of the dtypes and the shape (-1: any size, but at least 1).
void expect_array(const io::ArrayFile& file, const std::string& name, const std::vector<at::ScalarType>& dtypes,
                  const std::vector<int64_t>& shape);

/// Reads an array as float32. Throws FileError, also if a number is not finite.
at::Tensor read_finite(const io::ArrayFile& file, const std::string& name);

/// Whether the file is there; not so where none can be: an image may have a name to which nothing more fits.
bool cache_exists(const std::filesystem::path& path);

/// Opens an archive whose other arrays are to be kept, or nothing (with a warning if it is damaged).
std::optional<io::NpzFile> open_to_keep(const std::filesystem::path& path);

}  // namespace loraptor::data
