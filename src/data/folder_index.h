// What the last scan found in an image folder, kept in a file of that folder (docs/formats.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "data/bucket.h"
#include "io/mmap_file.h"

namespace loraptor::data {

/// Tells whether a file was changed: time of the last change and size. The default fits no file.
struct FileStamp {
  int64_t modified_ns = 0;
  int64_t bytes = -1;
  auto operator<=>(const FileStamp&) const = default;
};

/// An image of an index. The texts belong to someone else.
struct IndexedImage {
  std::string_view name;  // file name of the image
  FileStamp image;
  Size size;                      // of the image's header
  Size shown_size;                // after the names of latent caches (FolderListing::size_with_caches)
  bool is_turned = false;         // EXIF orientation other than 1
  std::string_view caption_name;  // file name of the caption; empty: none beside the image
  FileStamp caption;
  std::string_view caption_text;  // the caption file's bytes
};

/// A folder's index file as it lies on the disk; copies share it.
class FolderIndex {
 public:
  /// Empty if there is no such file, or if it is damaged or of another version: then everything is read anew.
  static FolderIndex read(const std::string& folder);

  size_t size() const { return size_; }
  /// Sorted by name. A zero byte follows each name. Texts live as long as the index.
  IndexedImage operator[](size_t i) const;
  /// The extension of captions when it was written.
  std::string_view caption_extension() const { return caption_extension_; }
  /// The folder's own last change when its listing was known to be that of the index; 0: not known.
  int64_t folder_changed_ns() const { return folder_changed_ns_; }

  /// Notes in the file that the folder, last changed then, holds what the index says. Changes no time of the folder.
  void note_folder(const std::string& folder, int64_t changed_ns) const;

 private:
  std::shared_ptr<const io::FileBytes> file_;
  const uint8_t* records_ = nullptr;
  const char* texts_ = nullptr;
  size_t size_ = 0;
  std::string_view caption_extension_;
  int64_t folder_changed_ns_ = 0;
};

/// Makes the folder within `folder` that holds the index file, so that writing the index does not change the time of
/// `folder`. False if it is there, or cannot be made.
bool make_index_folder(const std::string& folder);

/// Removes it if nothing is in it.
void remove_empty_index_folder(const std::string& folder);

/// Writes the index file. A folder that cannot be written to is left as it is.
///   images              sorted by name
///   folder_changed_ns   as FolderIndex::folder_changed_ns
void write_folder_index(const std::string& folder, const std::string& caption_extension,
                        std::span<const IndexedImage* const> images, int64_t folder_changed_ns);

}  // namespace loraptor::data
