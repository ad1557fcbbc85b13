// Locks between processes, on numbered places of a lock file. A process that dies gives its locks back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace loraptor {

/// One place of a lock file, held until destruction. Also keeps threads of one process apart.
class FileLock {
 public:
  /// Waits until the place is free. Creates the lock file if it is missing.
  ///   place   any number; the same number means the same lock
  /// Throws FileError if the file cannot be opened or the file system knows no locks.
  static FileLock take(const std::filesystem::path& path, uint64_t place);

  /// The same without waiting: nothing if another process holds it.
  static std::optional<FileLock> try_take(const std::filesystem::path& path, uint64_t place);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace loraptor
