// The images of one folder with their sizes and captions, found by several threads and remembered for the next time.
#pragma once

#include <cstdint>
#include <memory>
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
  bool is_turned = false;                         // EXIF orientation other than 1, which training ignores
  std::shared_ptr<const FileError> problem = {};  // what is wrong with the image's header or its caption file
};

struct FolderScanOptions {
  size_t index_from = 1000;            // images from which the index is written: small folders are read as fast without
  int64_t settled_ns = 2'000'000'000;  // a file or folder changed later than this may change again at the same time
};

/// Scans a folder: images as list_images says, sizes as SizeFinder says, captions as read_caption says. Files that did
/// not change since the folder's index was written (time and size, see folder_index.h) are not opened; a folder that
/// did not change is not listed.
/// Throws if the folder cannot be listed.
std::vector<FolderImage> scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                           const FolderScanOptions& options = {});

}  // namespace loraptor::data
