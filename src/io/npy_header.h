// The header in front of the numbers of an npy array.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "io/npz.h"

namespace loraptor::io {

/// Reads the header of an array.
///   where   the file and the array's name, for errors
///   read    reads exactly that many of the next bytes, or throws
///   size    bytes of the whole array, header included
/// Returns what it says and how many bytes of numbers follow, which are checked to be the rest of `size`.
/// Throws FileError.
struct NpyHeader {
  NpyInfo info;
  uint64_t data_bytes = 0;
};
struct NpyPlace {
  const std::filesystem::path& path;
  const std::string& name;
};
NpyHeader read_npy_header(const NpyPlace& where, const std::function<void(char*, uint64_t)>& read, uint64_t size);

}  // namespace loraptor::io
