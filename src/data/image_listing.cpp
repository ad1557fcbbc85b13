// Which images a folder holds, and how large they are.
#include "data/image_listing.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "data/python_text.h"
#include "io/image.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLatentsEnding = "_sd3.npz";

bool is_image_extension(const std::string& extension) {
  static const std::unordered_set<std::string> known{".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl",
                                                     ".PNG", ".JPG", ".JPEG", ".WEBP", ".BMP", ".AVIF", ".JXL"};
  return known.contains(extension);
}

bool is_folder(const dirent& entry, const std::string& folder) {
  if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) return entry.d_type == DT_DIR;
  std::error_code ignored;
  return fs::is_directory(fs::path(folder) / entry.d_name, ignored);
}

/// Takes a number of 1 to 9 digits from the end of the text; nullopt if there is none.
std::optional<int64_t> take_number(std::string_view& text) {
  constexpr size_t kMaxDigits = 9;
  const size_t begin = text.find_last_not_of("0123456789") + 1;  // npos + 1 is 0
  const std::string_view digits = text.substr(begin);
  if (digits.empty() || digits.size() > kMaxDigits) return std::nullopt;
  text.remove_suffix(digits.size());
  int64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

bool take_letter(std::string_view& text, char letter) {
  if (!text.ends_with(letter)) return false;
  text.remove_suffix(1);
  return true;
}

/// Notes the size in a name like <stem>_<width>x<height>_sd3.npz; other names are left alone.
void note_cache(std::string_view name, CachedSizes& sizes) {
  if (!name.ends_with(kLatentsEnding)) return;
  name.remove_suffix(kLatentsEnding.size());
  const auto height = take_number(name);
  if (!height || !take_letter(name, 'x')) return;
  const auto width = take_number(name);
  if (width && take_letter(name, '_')) sizes.emplace(name, Size{*width, *height});
}

}  // namespace

FolderListing list_folder(const std::string& folder) {
  const std::string path = folder.empty() ? "." : folder;
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(::opendir(path.c_str()), ::closedir);
  if (opened == nullptr) throw FileError(path, fmt::format("folder cannot be listed: {}.", std::strerror(errno)));
  FolderListing listing;
  while (const dirent* entry = ::readdir(opened.get())) {
    std::string name = entry->d_name;
    if (name.starts_with('.') || is_folder(*entry, path)) continue;
    if (is_image_extension(extension_of(name))) {
      listing.images.push_back(std::move(name));
      continue;
    }
    note_cache(name, listing.cached_sizes);
  }
  std::sort(listing.images.begin(), listing.images.end());
  return listing;
}

std::vector<std::string> list_images(const std::string& folder) {
  std::vector<std::string> paths;
  for (const std::string& name : list_folder(folder).images) paths.push_back((fs::path(folder) / name).string());
  return paths;
}

Size header_size(const std::string& path) {
  const auto [width, height] = io::read_image_size(path);
  return {width, height};
}

Size FolderListing::size_with_caches(const std::string& image_path, const Size& header) const {
  if (cached_sizes.empty()) return header;
  const auto [begin, end] = cached_sizes.equal_range(without_extension(base_name(image_path)));
  if (begin == end) return header;
  const bool is_webp = lower(extension_of(image_path)) == ".webp";
  if (std::next(begin) == end && !is_webp) return begin->second;
  // Several caches: the one of the present image counts. The reference reports some WebP files one pixel too small and
  // names their caches so.
  const bool fits = std::any_of(begin, end, [&](const auto& cache) {
    const Size& size = cache.second;
    return size == header || (is_webp && size == Size{header.width - 1, header.height - 1});
  });
  return fits ? header : begin->second;
}

Size SizeFinder::size_of(const std::string& image_path) {
  const std::string folder = fs::path(image_path).parent_path().string();
  auto known = folders_.find(folder);
  if (known == folders_.end()) known = folders_.emplace(folder, list_folder(folder)).first;
  return known->second.size_with_caches(image_path, header_size(image_path));
}

}  // namespace loraptor::data
