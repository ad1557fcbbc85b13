// Finds the images of one subset, their captions, sizes and masks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset_config.h"

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

/// What is wrong with single files.
struct FileFinding {
  std::string path;
  std::string text;
};

struct ScanFindings {
  std::vector<FileFinding> unreadable;       // images whose header, or caption file, cannot be read; they are left out
  std::vector<std::string> without_caption;  // images without caption file and class tokens
  std::vector<std::string> turned;           // images with an EXIF orientation, which is ignored
  std::vector<FileFinding> masks;            // images without mask, which are left out; masks without image
};

/// Scans a subset: a folder (with or without metadata_cache.json), a metadata file, or a folder with mask images.
/// An empty result means that there is nothing to train on; the reason was logged.
///   findings   where files that cannot be read are noted; without it they end the scan
/// Writes metadata_cache.json where cache_info asks for it and there is none.
/// Throws FileError (unreadable images, captions, lists), UsageError (relative keys without image_dir; images without
/// mask, masks without image).
std::vector<ScannedImage> scan_subset(DatasetKind kind, const SubsetConfig& subset, ScanFindings* findings = nullptr);

}  // namespace loraptor::data
