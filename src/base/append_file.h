// A file that grows by whole pieces: lines of a log, records of an event file.
#pragma once

#include <filesystem>
#include <string_view>

namespace loraptor {

class AppendFile {
 public:
  /// Opens the file for appending; makes it if there is none. Throws FileError.
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Appends a piece; readers see it at once. Throws FileError (for example when the disk is full): then what was
  /// written of the piece is taken back, so that later pieces follow whole ones.
  void write(std::string_view piece);

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace loraptor
