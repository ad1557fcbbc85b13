// Finds the images of one subset, their captions, sizes and masks.
#include "data/subset_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/nesting.h"
#include "data/caption_file.h"
#include "data/folder_scan.h"
#include "data/image_listing.h"
#include "data/metadata_file.h"
#include "data/python_text.h"
#include "data/size_choice.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t kNamesShown = 5;

std::string first_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamesShown ? fmt::format("{} and {} more", text, names.size() - kNamesShown) : text;
}

/// Files that cannot be read are gathered, or the first one ends the scan.
void report_unreadable(const std::vector<UnreadableImage>& unreadable, ScanFindings* findings) {
  if (findings == nullptr && !unreadable.empty()) {
    for (size_t i = 1; i < std::min(unreadable.size(), kNamesShown); ++i) log::error("{}", unreadable[i].error.what());
    if (unreadable.size() > 1) log::error("{} files cannot be read", unreadable.size());
    throw unreadable.front().error;
  }
  for (const UnreadableImage& file : unreadable) findings->unreadable.push_back({file.path, file.error.what()});
}

/// Where sizes from the names of latent caches are not those of the images.
void settle_sizes(const HeaderSizes& headers, std::vector<ScannedImage>& images, ScanFindings* findings) {
  std::vector<std::string> squeezed = choose_sizes(headers, images);
  if (findings != nullptr) {
    for (std::string& path : squeezed) {
      const std::string size = to_string(headers.at(path));
      findings->squeezed.push_back({std::move(path), "is " + size});
    }
  } else if (!squeezed.empty()) {
    log::warn(
        "{} images are not of the size that the name of their latent cache tells, which counts as in the reference; "
        "encoded anew they would be squeezed: {}. Hint: delete caches that are not of these pictures.",
        squeezed.size(), first_names(squeezed));
  }
}

/// A hint if there is a caption file of another extension beside an image.
std::string other_extension(const std::string& image) {
  for (const char* extension : {".txt", ".caption", ".TXT", ".CAPTION"}) {
    const std::string path = without_extension(image) + extension;
    if (fs::exists(path)) return fmt::format(". Hint: there is '{}': set caption_extension to {}", path, extension);
  }
  return "";
}

ScannedImages read_folder(const SubsetConfig& subset, ScanFindings* findings) {
  const CaptionFileRules rules{subset.caption_file_extension(), subset.caption.enable_wildcard, subset.class_tokens};
  FolderContent content = scan_image_folder(subset.image_dir, rules);
  report_unreadable(content.unreadable, findings);
  settle_sizes(content.other_headers, content.found.images, findings);
  const std::vector<std::string>& without_caption = content.without_caption;
  if (findings != nullptr && !subset.class_tokens) {
    findings->without_caption.insert(findings->without_caption.end(), without_caption.begin(), without_caption.end());
  }
  if (!without_caption.empty()) {
    log::warn_once(fmt::format("{} of {} images in '{}' have no caption file ({}); {}: {}{}", without_caption.size(),
                               content.found.images.size(), subset.image_dir, rules.extension,
                               rules.class_tokens ? fmt::format("the class tokens '{}' are used", *rules.class_tokens)
                                                  : std::string("their caption is empty"),
                               first_names(without_caption), other_extension(without_caption.front())));
  }
  return std::move(content.found);
}

/// metadata_cache.json alone defines images, captions and sizes.
ScannedImages read_info_cache(const fs::path& path) {
  ordered_json root;
  try {
    const std::string text = read_file(path);
    if (nests_deeper(text)) throw FileError(path, fmt::format("JSON text: got more than {} levels.", kMaxJsonLevels));
    root = ordered_json::parse(text);
  } catch (const ordered_json::exception& error) {
    throw FileError(path, fmt::format("JSON text: {}.\nHint: delete the file; it is written again.", error.what()));
  }
  const auto texts = std::make_shared<TextKeeper>();
  std::vector<ScannedImage> images;
  for (const auto& [key, entry] : root.items()) {
    const bool good = entry.is_object() && entry.contains("caption") && entry["caption"].is_string() &&
                      entry.contains("resolution") && entry["resolution"].is_array() &&
                      entry["resolution"].size() == 2 && entry["resolution"][0].is_number_integer() &&
                      entry["resolution"][1].is_number_integer();
    if (!good) {
      throw FileError(path, fmt::format("entry '{}': got {}, expected a caption and a resolution.\n"
                                        "Hint: delete the file; it is written again.",
                                        key, entry.dump()));
    }
    const std::string_view caption = texts->keep(entry["caption"].get_ref<const std::string&>());
    images.push_back({texts->keep(key),
                      caption,
                      caption,
                      {entry["resolution"][0].get<int64_t>(), entry["resolution"][1].get<int64_t>()}});
  }
  log::info("{} images, captions and sizes are taken from '{}'", images.size(), path.string());
  return {std::move(images), {texts}};
}

void write_info_cache(const fs::path& path, const std::vector<ScannedImage>& images) {
  ordered_json root = ordered_json::object();
  for (const ScannedImage& image : images) {
    root[std::string(image.key())] = {{"caption", image.caption},
                                      {"resolution", {image.size.width, image.size.height}}};
  }
  write_file(path, root.dump(2));
}

ScannedImages scan_folder(const SubsetConfig& subset, ScanFindings* findings) {
  if (!fs::is_directory(subset.image_dir)) {
    const bool is_relative = !subset.image_dir.empty() && fs::path(subset.image_dir).is_relative();
    log::warn(
        "image_dir '{}' is not a folder{}; the subset is left out", subset.image_dir,
        is_relative ? fmt::format(" below '{}', where the program was started", fs::current_path().string()) : "");
    return {};
  }
  const fs::path cache = fs::path(subset.image_dir) / "metadata_cache.json";
  if (subset.cache_info && fs::exists(cache)) return read_info_cache(cache);
  ScannedImages found = read_folder(subset, findings);
  if (subset.cache_info && !found.images.empty()) write_info_cache(cache, found.images);
  return found;
}

FileError missing_image(const std::string& list, const std::string& key, const std::string& path) {
  return {list, fmt::format("image '{}': got no file '{}', expected one.\nHint: keys are paths below the image folder, "
                            "with / and with the extension.",
                            key, path)};
}

ScannedImages scan_metadata(const SubsetConfig& subset, ScanFindings* findings) {
  const MetadataRules rules{subset.caption.caption_separator, subset.caption.enable_wildcard};
  SizeFinder sizes;
  const auto texts = std::make_shared<TextKeeper>();
  std::vector<ScannedImage> images;
  std::vector<UnreadableImage> unreadable;
  for (const MetadataEntry& entry : read_metadata_file(subset.metadata_file, rules)) {
    const fs::path key(entry.key);
    if (key.is_relative() && subset.image_dir.empty()) {
      throw UsageError(fmt::format("[{}] image_dir: got none, expected the folder of relative keys such as '{}'.",
                                   subset.metadata_file, entry.key));
    }
    const std::string path = key.is_absolute() ? entry.key : (fs::path(subset.image_dir) / key).string();
    try {
      const Size size = entry.size ? *entry.size : sizes.size_of(path);
      // A relative key of a metadata file is the end of the path.
      const auto key_begin = static_cast<uint32_t>(path.size() - std::min(entry.key.size(), path.size()));
      images.push_back(
          {texts->keep(path), texts->keep(entry.caption), texts->keep(entry.tags), size, {}, key_begin, false});
    } catch (const FileError& error) {
      unreadable.push_back({path, fs::exists(path) ? error : missing_image(subset.metadata_file, entry.key, path)});
    }
    if (findings != nullptr && entry.caption.empty()) findings->without_caption.push_back(path);
  }
  report_unreadable(unreadable, findings);
  settle_sizes(sizes.other_headers(), images, findings);
  return {std::move(images), {texts}};
}

void add_masks(const SubsetConfig& subset, ScannedImages& found, ScanFindings* findings) {
  std::vector<ScannedImage>& images = found.images;
  const auto texts = std::make_shared<TextKeeper>();
  found.texts.push_back(texts);
  std::map<std::string, std::string> masks;  // stem -> path; the first of a stem counts
  for (const std::string& path : list_images(subset.conditioning_data_dir)) {
    masks.emplace(without_extension(base_name(path)), path);
  }
  std::vector<std::string> missing, extra;
  for (ScannedImage& image : images) {
    const auto mask = masks.find(without_extension(base_name(image.path)));
    if (mask == masks.end()) {
      missing.emplace_back(image.path);
    } else {
      image.mask_path = texts->keep(mask->second);
    }
  }
  for (const ScannedImage& image : images) masks.erase(without_extension(base_name(image.path)));
  for (const auto& [stem, path] : masks) extra.push_back(path);
  if (findings != nullptr) {
    for (const auto& path : missing) findings->masks.push_back({path, "no mask in " + subset.conditioning_data_dir});
    for (const auto& path : extra) findings->masks.push_back({path, "a mask without image in " + subset.image_dir});
    std::erase_if(images, [](const ScannedImage& image) { return image.mask_path.empty(); });
    return;
  }
  if (!missing.empty()) {
    throw UsageError(fmt::format("[{}] mask images: got none for {} of {} images, expected one for each: {}.",
                                 subset.conditioning_data_dir, missing.size(), images.size(), first_names(missing)));
  }
  if (!extra.empty()) {
    throw UsageError(fmt::format("[{}] mask images: got {} without an image in '{}', expected none: {}.",
                                 subset.conditioning_data_dir, extra.size(), subset.image_dir, first_names(extra)));
  }
}

}  // namespace

ScannedImages scan_subset(DatasetKind kind, const SubsetConfig& subset, ScanFindings* findings) {
  if (kind == DatasetKind::metadata) return scan_metadata(subset, findings);
  ScannedImages found = scan_folder(subset, findings);
  if (kind == DatasetKind::masked && !found.images.empty()) add_masks(subset, found, findings);
  return found;
}

}  // namespace loraptor::data
