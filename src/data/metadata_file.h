// Lists of images with captions and tags: *.jsonl, or one JSON object of any other name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/bucket.h"

namespace loraptor::data {

struct MetadataEntry {
  std::string key;      // path of the image, absolute or relative to image_dir
  std::string caption;  // caption and tags joined
  std::string tags;     // for the tag statistics
  std::optional<Size> size;
};

struct MetadataRules {
  std::string separator = ",";  // between caption and tags
  bool every_line = false;      // wildcard captions: tags are added to each line of the caption
};

/// Reads a list, longest keys first. Of several entries with one key the last counts.
/// Throws FileError: missing, not JSON, not an object, an entry with a field of the wrong type.
/// Source: sd-scripts@48d368f library/train_util.py:FineTuningDataset; differs: an entry without a caption keeps its
/// tags with wildcards too, and empty tags add no separator.
std::vector<MetadataEntry> read_metadata_file(const std::string& path, const MetadataRules& rules);

}  // namespace loraptor::data
