// An image as a scan finds it.
#pragma once

#include <cstdint>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/bucket.h"
#include "data/text_keeper.h"

namespace loraptor::data {

/// The texts belong to the TextKeepers that come with the images.
struct ScannedImage {
  std::string_view path;
  std::string_view caption;  // as stored, before caption transforms
  std::string_view tags;     // the text whose comma-separated tags are counted: a metadata file's tags, or the caption
  Size size;
  std::string_view mask_path = {};  // empty: none
  uint32_t key_begin = 0;           // where the key begins within the path
  bool is_turned = false;           // EXIF orientation other than 1

  /// As the reference names it: path joined from image_dir, or the key of a metadata file, which ends the path.
  std::string_view key() const { return path.substr(key_begin); }
};

struct ScannedImages {
  std::vector<ScannedImage> images{};
  TextKeepers texts{};
  std::shared_future<void> index_written{};  // the folder's index is written meanwhile; not valid: there is none
};

/// An image whose header, or whose caption file, cannot be read.
struct UnreadableImage {
  std::string path;
  FileError error;
};

}  // namespace loraptor::data
