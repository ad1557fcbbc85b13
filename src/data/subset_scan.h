// Finds the images of one subset, their captions, sizes and masks.
#pragma once

#include <string>
#include <vector>

#include "data/dataset_config.h"
#include "data/scanned_image.h"

namespace loraptor::data {

/// What is wrong with single files.
struct FileFinding {
  std::string path;
  std::string text;
};

struct ScanFindings {
  std::vector<FileFinding> unreadable;       // images whose header, or caption file, cannot be read; they are left out
  std::vector<std::string> without_caption;  // images without caption file and class tokens
  std::vector<std::string> turned;           // images with an EXIF orientation, which is ignored
  std::vector<FileFinding> squeezed;         // images that are not of the size in the name of their latent cache
  std::vector<FileFinding> masks;            // images without mask, which are left out; masks without image
};

/// Scans a subset: a folder (with or without metadata_cache.json), a metadata file, or a folder with mask images.
/// An empty result means that there is nothing to train on; the reason was logged.
///   findings   where files that cannot be read are noted; without it they end the scan
/// Writes metadata_cache.json where cache_info asks for it and there is none.
/// Throws FileError (unreadable images, captions, lists), UsageError (relative keys without image_dir; images without
/// mask, masks without image).
ScannedImages scan_subset(DatasetKind kind, const SubsetConfig& subset, ScanFindings* findings = nullptr);

}  // namespace loraptor::data
