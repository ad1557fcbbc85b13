// Which images of a data set have caches that can be used, and which caches are stale.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/cache_index.h"
#include "data/dataset.h"
#include "data/latents_cache.h"
#include "data/text_cache.h"

namespace loraptor::data {

/// The name of the part of a text cache in loraptor_cache.json.
inline constexpr const char* kTextPart = "text";

/// The records of all folders that a run meets, each read once.
class CacheIndexes {
 public:
  /// The index of the folder that `cache` lies in.
  CacheIndex& of(const std::filesystem::path& cache);
  void flush();

 private:
  std::map<std::filesystem::path, CacheIndex> indexes_;
};

/// What a run keeps of each image beyond a sample of the image as it is.
struct LatentsExtras {
  bool moments = false;  // the whole posterior
  int64_t variants = 0;  // of images that are cut or coloured at random: that many drawn ones instead
};

/// What an image's caches must hold.
LatentsRequest latents_request(const Dataset& dataset, const ImageEntry& image, const LatentsExtras& extras = {});

/// What the caches of an image follow from, besides the bytes of the image and the models.
CacheFacts latents_facts(const Dataset& dataset, const ImageEntry& image);
CacheFacts text_facts(const std::string& caption);

/// Looks at the file and at what was recorded about it. Usable files without a record count as good.
///   facts   what it must have been made from; facts that were not recorded are passed over
CacheFinding find_latents_cache(const Dataset& dataset, const ImageEntry& image, CacheIndexes& indexes,
                                const CacheFacts& facts, const LatentsExtras& extras = {});
CacheFinding find_text_cache(const std::filesystem::path& path, CacheIndexes& indexes, const TextRequest& request,
                             const CacheFacts& facts);

/// A cache on disk that a run would make again.
struct StaleCache {
  std::filesystem::path path;
  std::filesystem::path image;
  std::string why;
};

/// Caches of the data set that are damaged or were made from another image, crop or caption. Models are not looked at.
/// Throws FileError if an image cannot be read.
std::vector<StaleCache> stale_caches(const Dataset& dataset);

}  // namespace loraptor::data
