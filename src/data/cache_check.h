// Which images of a data set have caches that can be used, and which caches are stale.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/cache_store.h"
#include "data/dataset.h"
#include "data/latents_cache.h"
#include "data/text_cache.h"

namespace loraptor::data {

/// The name of the part of a text cache in loraptor_cache.json.
inline constexpr const char* kTextPart = "text";

/// What a run keeps of each image beyond a sample of the image as it is.
struct LatentsExtras {
  bool moments = false;  // the whole posterior
  int64_t variants = 0;  // of images that are cut or coloured at random: that many drawn ones instead
};

/// What an image's caches must hold.
LatentsRequest latents_request(const Dataset& dataset, const ImageEntry& image, const LatentsExtras& extras = {});

/// What the caches of an image follow from, besides the bytes of the image and the models.
CacheFacts latents_facts(const Dataset& dataset, const ImageEntry& image);
CacheFacts text_facts(std::string_view caption);

/// For each image of the data set the one whose latents its cache file has: itself, but for an image that shares file
/// and bucket with an earlier one, of another path (the same stem) or to be resized otherwise.
std::vector<int64_t> latents_makers(const Dataset& dataset, const LatentsExtras& extras = {});

/// Looks at the cache and at what was recorded about it. Usable files without a record count as good. The store relies
/// on what was found.
///   facts   what it must have been made from; facts that were not recorded are passed over
CacheFinding find_latents_cache(const Dataset& dataset, const ImageEntry& image, CacheStore& store,
                                const CacheFacts& facts, const LatentsExtras& extras = {});
CacheFinding find_text_cache(const std::filesystem::path& path, CacheStore& store, const TextRequest& request,
                             const CacheFacts& facts);

/// The file that holds a part of latents made from this image, with these facts, though perhaps not all arrays that are
/// wanted; null if there is none, or if what it was made from was not recorded.
std::shared_ptr<const io::ArrayFile> latents_of_same_sources(CacheStore& store, const std::filesystem::path& cache,
                                                             const std::filesystem::path& image, const Size& bucket,
                                                             bool drawn, const CacheFacts& facts);

/// Reads a cache. Throws FileError as read_latents_cache and read_text_cache do, also if there is none, or another one
/// than the store relies on.
StoredLatents load_latents(CacheStore& store, const std::filesystem::path& path, const LatentsRequest& request,
                           int64_t number);
StoredText load_text(CacheStore& store, const std::filesystem::path& path, const TextRequest& request);

/// A cache on disk that a run would make again.
struct StaleCache {
  std::filesystem::path path;
  std::string why;
  bool is_damaged_inside = false;  // only reading all of it tells: a run uses it, and ends there
};

/// Caches of the data set, of both formats, that are damaged, hold numbers that are not finite, or were made from
/// another image, crop or caption; drawn ones and that of the empty caption too. All are read. Models are not looked
/// at. Throws FileError if an image cannot be read.
std::vector<StaleCache> stale_caches(const Dataset& dataset);

}  // namespace loraptor::data
