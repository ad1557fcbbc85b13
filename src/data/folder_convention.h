// Folders that say in their names how often their images are used: <repeats>_<class tokens>.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loraptor::data {

struct RepeatFolder {
  std::string image_dir;  // base folder joined with the name
  int64_t num_repeats = 1;
  std::string class_tokens;  // may be empty
  bool is_reg = false;
};

/// The direct sub-folders of `base` whose name begins with a whole number > 0, sorted by name. Names without a number
/// are left out with a warning, numbers below 1 silently. A base that is empty or does not exist has none.
/// Source: sd-scripts@48d368f library/config_util.py:generate_dreambooth_subsets_config_by_subdirs; the order is ours.
std::vector<RepeatFolder> find_repeat_folders(const std::string& base, bool is_reg);

}  // namespace loraptor::data
