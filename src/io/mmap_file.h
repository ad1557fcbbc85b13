// A whole file as read-only bytes, mapped or read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace loraptor::io {

/// The bytes of a file; they live as long as the object.
class FileBytes {
 public:
  /// Opens a regular file.
  ///   memory_map   true: pages come from the disk when they are touched; false: everything is read now
  /// Throws FileError if it is missing, unreadable or not a regular file.
  static std::shared_ptr<const FileBytes> open(const std::filesystem::path& path, bool memory_map);
  virtual ~FileBytes() = default;

  /// Aligned to 64 bytes or more; not null, even for an empty file.
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 protected:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

/// Reads the first bytes of a regular file, at most `size`; returns how many. Throws FileError as FileBytes::open does.
size_t read_start(const std::filesystem::path& path, uint8_t* to, size_t size);

}  // namespace loraptor::io
