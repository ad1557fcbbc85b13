// A file that grows by whole pieces: lines of a log, records of an event file.
#pragma once

#include <filesystem>
#include <string_view>

namespace loraptor {

/// Whether a path leads to a pipe, device or socket, or to where standard output or standard error go: there pieces are
/// only appended; nothing is read, cut off or replaced.
bool is_stream(const std::filesystem::path& path);

class AppendFile {
 public:
  /// Opens the file for appending; makes it if there is none; waits for the reader of a named pipe. Throws
  /// FileError.
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Appends a piece; readers see it at once. Throws FileError (the disk is full, the reader of a pipe is gone): then
  /// what was written of the piece is taken back where it is a file, so that later pieces follow whole ones.
  void write(std::string_view piece);

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace loraptor
