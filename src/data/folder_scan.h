// The images of one folder with their sizes and captions, found by several threads and remembered for the next time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/caption_file.h"
#include "data/scanned_image.h"
#include "data/size_choice.h"

namespace loraptor::data {

struct FolderContent {
  ScannedImages found;                       // those that can be read, sorted by path: folder joined with the name
  std::vector<std::string> without_caption;  // paths of those that have no caption file
  std::vector<UnreadableImage> unreadable;   // the others
  HeaderSizes other_headers;                 // of images whose size in `found` is not that of their header
};

struct FolderScanOptions {
  size_t index_from = 1000;            // images from which the index is written, and files are read while others are
                                       // still listed: small folders are read as fast without
  int64_t settled_ns = 2'000'000'000;  // a file or folder changed later than this may change again at the same time
};

/// Scans a folder: images as list_images says, sizes as SizeFinder says, captions as read_caption says. Files that did
/// not change since the folder's index was written (time and size, see folder_index.h) are not opened; a folder that
/// did not change is not listed. The index is written in the background.
/// Throws if the folder cannot be listed.
FolderContent scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                const FolderScanOptions& options = {});

}  // namespace loraptor::data
