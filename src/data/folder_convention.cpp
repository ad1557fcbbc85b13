// Folders that say in their names how often their images are used.
#include "data/folder_convention.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/log.h"
#include "data/image_listing.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

/// int(text) of Python, for decimal digits.
std::optional<int64_t> parse_int(const std::string& text) {
  std::string digits = strip(text);
  if (digits.starts_with('+')) digits.erase(0, 1);
  if (digits.starts_with('-') && digits.size() < 2) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

void warn_about_loose_images(const std::string& base) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(base, ignored)) return;
  const auto images = list_images(base);
  if (images.empty()) return;
  log::warn(
      "{} images directly in '{}' are not used, such as '{}': images belong in a folder below it whose name begins "
      "with "
      "a number of repeats, as in 10_cat. Hint: where it is such a folder itself, give the folder above it.",
      images.size(), base, images.front());
}

}  // namespace

std::vector<RepeatFolder> find_repeat_folders(const std::string& base, bool is_reg) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(base, ignored)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  warn_about_loose_images(base);
  std::vector<RepeatFolder> folders;
  for (const std::string& name : names) {
    std::vector<std::string> pieces = split(name, "_");
    const std::optional<int64_t> repeats = parse_int(pieces.front());
    if (!repeats) {
      log::warn("folder '{}' in '{}' is left out: its name does not begin with a number of repeats, as in 10_cat", name,
                base);
      continue;
    }
    if (*repeats < 1) continue;
    pieces.erase(pieces.begin());
    folders.push_back({(fs::path(base) / name).string(), *repeats, join(pieces, "_"), is_reg});
  }
  return folders;
}

}  // namespace loraptor::data
