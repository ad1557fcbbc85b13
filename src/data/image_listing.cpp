// Which images a folder holds, and how large they are.
#include "data/image_listing.h"

#include <algorithm>
#include <filesystem>
#include <regex>

#include "data/python_text.h"
#include "io/image.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

bool is_image_extension(const std::string& extension) {
  static const std::vector<std::string> known{".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl",
                                              ".PNG", ".JPG", ".JPEG", ".WEBP", ".BMP", ".AVIF", ".JXL"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

/// Sizes in the names of the latent caches of a folder, by the stem of their image.
std::multimap<std::string, Size> cached_sizes(const std::string& folder) {
  static const std::regex pattern("(.*)_([0-9]{1,9})x([0-9]{1,9})_sd3\\.npz");
  std::multimap<std::string, Size> sizes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored)) {
    const std::string name = entry.path().filename().string();
    std::smatch match;
    if (name.ends_with("_sd3.npz") && std::regex_match(name, match, pattern)) {
      sizes.emplace(match[1].str(), Size{std::stoll(match[2].str()), std::stoll(match[3].str())});
    }
  }
  return sizes;
}

Size header_size(const std::string& path) {
  const auto [width, height] = io::read_image_size(path);
  return {width, height};
}

}  // namespace

std::vector<std::string> list_images(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !is_image_extension(extension_of(name)) || entry.is_directory()) continue;
    paths.push_back((fs::path(folder) / name).string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Size SizeFinder::size_of(const std::string& image_path) {
  const std::string folder = fs::path(image_path).parent_path().string();
  auto known = folders_.find(folder);
  if (known == folders_.end()) known = folders_.emplace(folder, cached_sizes(folder)).first;
  const auto [begin, end] = known->second.equal_range(without_extension(base_name(image_path)));
  if (begin == end) return header_size(image_path);
  const bool is_webp = lower(extension_of(image_path)) == ".webp";
  if (std::next(begin) == end && !is_webp) return begin->second;
  // Several caches: the one of the present image counts. The reference reports some WebP files one pixel too small and
  // names their caches so.
  const Size header = header_size(image_path);
  const bool fits = std::any_of(begin, end, [&](const auto& cache) {
    const Size& size = cache.second;
    return size == header || (is_webp && size == Size{header.width - 1, header.height - 1});
  });
  return fits ? header : begin->second;
}

}  // namespace loraptor::data
