// The images of one folder with their sizes and captions, found by several threads and remembered for the next time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/bucket.h"
#include "data/caption_file.h"

namespace loraptor::data {

struct FolderImage {
  std::string path;  // folder joined with the name
  Size size;
  StoredCaption caption;
  std::optional<FileError> problem;  // what is wrong with the image's header or its caption file
};

/// Scans a folder: images as list_images says, sizes as SizeFinder says, captions as read_caption says. Files that did
/// not change since the folder's index was written (time and size, see folder_index.h) are not opened.
///   index_from   number of images from which the index is written: small folders are read as fast without one
/// Throws if the folder cannot be listed.
std::vector<FolderImage> scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                           size_t index_from = 1000);

}  // namespace loraptor::data
