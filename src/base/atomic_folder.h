// Folders that appear whole or not at all: filled beside their final name, then put in its place.
#pragma once

#include <filesystem>
#include <string_view>

namespace loraptor {

/// A folder under construction. Nothing is visible under the final name until `commit`; what is not committed goes.
class AtomicFolder {
 public:
  /// Makes the empty folder `<folder>.tmp-<process id>`. Throws FileError, also where something that is no folder has
  /// the final name: it is never replaced.
  explicit AtomicFolder(std::filesystem::path folder);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  /// Where the files go until then.
  const std::filesystem::path& path() const { return temporary_; }

  /// Flushes the folder and gives it its final name. An older folder of that name is exchanged for it in one step
  /// (where the file system can), so a complete one is there at every moment. Throws FileError.
  void commit();

 private:
  std::filesystem::path folder_, temporary_;
};

/// Removes files and folders of AtomicFile and AtomicFolder that processes left behind which no longer exist.
///   prefix   of their names
void remove_leftovers(const std::filesystem::path& folder, std::string_view prefix);

}  // namespace loraptor
