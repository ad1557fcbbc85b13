// What the last scan found in an image folder, kept in a file of that folder (docs/formats.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/bucket.h"

namespace loraptor::data {

/// Tells whether a file was changed: time of the last change and size. The default fits no file.
struct FileStamp {
  int64_t modified_ns = 0;
  int64_t bytes = -1;
  auto operator<=>(const FileStamp&) const = default;
};

struct IndexedImage {
  std::string name;  // file name of the image
  FileStamp image;
  Size size;
  std::string caption_name;  // file name of the caption; empty: none beside the image
  FileStamp caption;
  std::string caption_text;  // the caption file's bytes
};

/// The images of the folder's index file, sorted by name. Empty if there is none, or if it is damaged or of another
/// version: then everything is read anew.
std::vector<IndexedImage> read_folder_index(const std::string& folder);

/// Writes the index file. A folder that cannot be written to is left as it is.
void write_folder_index(const std::string& folder, const std::vector<IndexedImage>& images);

}  // namespace loraptor::data
