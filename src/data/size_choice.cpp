// Which size counts where an image and its latent cache tell different ones.
#include "data/size_choice.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <unordered_map>

#include "base/log.h"
#include "data/cache_index.h"
#include "data/cache_store.h"
#include "data/latents_cache.h"

namespace loraptor::data {

std::vector<std::string> choose_sizes(const HeaderSizes& headers, std::vector<ScannedImage>& images) {
  std::vector<std::string> squeezed;
  if (headers.empty()) return squeezed;
  std::map<std::filesystem::path, CacheIndex> indexes;
  std::unordered_map<std::string_view, int> stems;
  for (const ScannedImage& image : images) ++stems[image.path.substr(0, image.path.rfind('.'))];
  for (ScannedImage& image : images) {
    const auto header = headers.find(std::string(image.path));
    if (header == headers.end()) continue;
    const auto cache = latents_cache_path(image.path, image.size);
    const auto folder = cache_folder(cache);
    const auto records = indexes.try_emplace(folder, folder).first->second.facts_of(cache.filename().string());
    const bool is_changed = std::any_of(records.begin(), records.end(),
                                        [&](const CacheFacts& facts) { return !is_same_image(facts, header->first); });
    if (!is_changed) {
      squeezed.push_back(header->first);
      continue;
    }
    if (stems[image.path.substr(0, image.path.rfind('.'))] > 1) {
      log::warn("[{}] is {}; '{}' is the latent cache of another image with its stem. Hint: rename one of them.",
                header->first, to_string(header->second), cache.string());
    } else {
      log::warn(
          "[{}] is {} now, its latent cache was made when it was {}; the cache is not used any more. Hint: delete "
          "'{}'.",
          header->first, to_string(header->second), to_string(image.size), cache.string());
    }
    image.size = header->second;
  }
  return squeezed;
}

}  // namespace loraptor::data
