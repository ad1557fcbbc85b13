// An image as a scan finds it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "data/bucket.h"

namespace loraptor::data {

struct ScannedImage {
  std::string path;
  std::string caption;  // as stored, before caption transforms
  Size size;
  uint32_t key_begin = 0;                // where the key begins within the path
  bool is_turned = false;                // EXIF orientation other than 1
  std::optional<std::string> tags = {};  // of a metadata file; nothing: the caption's
  std::optional<std::string> mask_path = {};

  /// As the reference names it: path joined from image_dir, or the key of a metadata file, which ends the path.
  std::string_view key() const { return std::string_view(path).substr(key_begin); }
  /// The text whose comma-separated tags are counted.
  const std::string& tag_source() const { return tags ? *tags : caption; }
};

/// An image whose header, or whose caption file, cannot be read.
struct UnreadableImage {
  std::string path;
  FileError error;
};

}  // namespace loraptor::data
