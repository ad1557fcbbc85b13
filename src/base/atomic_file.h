// Files that appear whole or not at all: written beside their final name, then renamed over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace loraptor {

/// A file under construction. Nothing is visible under the final name until `commit`; an uncommitted file is removed.
class AtomicFile {
 public:
  /// Opens `<path>.tmp-<process id>` for writing, creating missing folders. A path that is a symbolic link stands for
  /// the file that it leads to. Throws FileError, also for a folder, device or pipe: a file must not take its place.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends bytes. Throws FileError (for example when the disk is full).
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Whether the bytes must have reached the disk before the file gets its name. `no` is for files that may be lost
  /// in a power cut, show by a checksum whether they are whole, and can be made again.
  enum class Flush { yes, no };

  /// Flushes to the disk and renames over the final name. Throws FileError; then the old file is still there.
  void commit(Flush flush = Flush::yes);

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// Writes a whole text file atomically. Throws FileError.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Reads a whole file. Throws FileError if it is missing or unreadable.
std::string read_file(const std::filesystem::path& path);

}  // namespace loraptor
