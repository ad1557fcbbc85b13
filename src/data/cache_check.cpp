#include "data/cache_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data/shard_store.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

/// A usable file is stale if its record says that it was made from something else.
CacheFinding judge(CacheFinding finding, const std::optional<CacheFacts>& recorded, const CacheFacts& facts) {
  if (finding.state != CacheState::usable || !recorded) return finding;
  finding.is_recorded = true;
  if (const auto difference = first_difference(*recorded, facts)) {
    finding.state = CacheState::stale;
    finding.why = *difference;
  }
  return finding;
}

std::string hash_text(std::string_view text) { return fmt::format("{:016x}", xxh3(text)); }

/// What `check` says about a part of a cache, if there is one.
template <class Check>
CacheFinding look(CacheStore& store, const fs::path& cache, const std::string& part, const Check& check) {
  try {
    const auto file = store.open(cache, part);
    return file == nullptr ? CacheFinding{} : check(*file);
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

std::shared_ptr<const io::ArrayFile> open_cache(CacheStore& store, const fs::path& cache, const std::string& part) {
  auto file = store.open(cache, part);
  if (file == nullptr) throw FileError(cache, fmt::format("cache: got none for '{}', expected one.", part));
  return file;
}

/// A finding, and whether only reading all numbers told.
struct Judgement {
  CacheFinding finding;
  bool is_damaged_inside = false;
};

/// A cache that cannot be read after all, or whose numbers are not finite, is unusable.
template <class Read>
Judgement read_too(CacheFinding finding, const Read& read) {
  if (finding.state == CacheState::stale || finding.state == CacheState::unusable) return {finding};
  try {
    read();
  } catch (const FileError& error) {
    finding.state = CacheState::unusable;
    finding.why = error.what();
    return {finding, true};
  }
  return {finding};
}

/// What `read` returns; with a hint where it throws.
template <class Read>
auto read_cache(const fs::path& cache, const Read& read) {
  try {
    return read();
  } catch (const FileError& error) {
    throw FileError(error, fmt::format("delete '{}'; the next run makes it again.", cache.string()));
  }
}

Judgement judge_latents(const Dataset& dataset, const ImageEntry& image, CacheStore& store) {
  return read_too(find_latents_cache(dataset, image, store, latents_facts(dataset, image)), [&] {
    const fs::path path = latents_cache_path(image.path, {image.width, image.height});
    for (const bool drawn : {false, true}) {
      const auto file = store.open(path, latents_part(image.geometry.bucket, drawn));
      if (file) read_cache(file->path(), [&] { read_latents_part(*file, image.geometry.bucket, drawn); });
    }
  });
}

/// The mask flags of a text cache do not make it stale: whichever it has, they are asked for.
Judgement judge_text(const fs::path& path, CacheStore& store, const CacheFacts& facts) {
  TextRequest request;
  const CacheFinding readable = look(store, path, kTextPart, [&](const io::ArrayFile& file) {
    request = stored_request(file);
    return CacheFinding{.state = CacheState::usable};
  });
  if (readable.state != CacheState::usable) return {readable};
  return read_too(find_text_cache(path, store, request, facts), [&] { load_text(store, path, request); });
}

/// Keeps what is wrong with the caches of one format.
struct Collector {
  std::vector<StaleCache>& to;
  bool is_shard;

  void add(const Judgement& judgement, const fs::path& cache) const {
    const CacheFinding& finding = judgement.finding;
    if (finding.state != CacheState::stale && finding.state != CacheState::unusable) return;
    const fs::path folder = is_shard ? shards_folder(cache_folder(cache)) : cache_folder(cache);
    to.push_back({folder / cache.filename(), finding.why, judgement.is_damaged_inside});
  }
};

void judge_text_files(const ImageEntry& image, CacheStore& store, const Collector& collector) {
  const fs::path stored = text_cache_path(image.path);
  collector.add(judge_text(stored, store, text_facts(image.caption)), stored);
  // Which caption was drawn for a file, only the run that drew it can tell.
  for (int64_t number = 1; store.has(text_cache_path(image.path, number), kTextPart); ++number) {
    const fs::path drawn = text_cache_path(image.path, number);
    collector.add(judge_text(drawn, store, {}), drawn);
  }
}

}  // namespace

LatentsRequest latents_request(const Dataset& dataset, const ImageEntry& image, const LatentsExtras& extras) {
  const SubsetConfig& subset = dataset.subset_of(image);
  return {.bucket = image.geometry.bucket,
          .flipped = subset.flip_aug,
          .mask = subset.alpha_mask,
          .moments = extras.moments,
          .variants = subset.random_crop || subset.color_aug ? extras.variants : 0};
}

CacheFacts latents_facts(const Dataset& dataset, const ImageEntry& image) {
  const SubsetConfig& subset = dataset.subset_of(image);
  return {{"resized", to_string(image.geometry.resized)},
          {"interpolation", subset.resize_interpolation.value_or("automatic")},
          {"crop", subset.random_crop ? "drawn" : "centre"},
          {"colours", subset.color_aug ? "drawn" : "unchanged"}};
}

CacheFacts text_facts(std::string_view caption) { return {{"caption", hash_text(caption)}}; }

CacheFinding find_latents_cache(const Dataset& dataset, const ImageEntry& image, CacheStore& store,
                                const CacheFacts& facts, const LatentsExtras& extras) {
  const LatentsRequest request = latents_request(dataset, image, extras);
  const fs::path path = latents_cache_path(image.path, {image.width, image.height});
  const std::string part = latents_part(request.bucket, request.variants > 0);
  CacheFinding finding = look(store, path, part, [&](const io::ArrayFile& file) {
    CacheFinding found = check_latents(file, request);
    if (found.state == CacheState::usable) store.rely_on(path, file, wanted_arrays(request));
    return found;
  });
  if (finding.state != CacheState::usable) return finding;
  const auto recorded = store.facts(path, part, finding.contents);
  finding = judge(std::move(finding), recorded, facts);
  if (finding.state == CacheState::usable && recorded && !is_same_image(*recorded, image.path)) {
    finding.state = CacheState::stale;
    finding.why = "the image was changed";
  }
  return finding;
}

std::shared_ptr<const io::ArrayFile> latents_of_same_sources(CacheStore& store, const fs::path& cache,
                                                             const fs::path& image, const Size& bucket, bool drawn,
                                                             const CacheFacts& facts) {
  try {
    const std::string part = latents_part(bucket, drawn);
    auto file = store.open(cache, part);
    if (!file) return nullptr;
    const auto recorded = store.facts(cache, part, latents_contents(*file, bucket, drawn));
    const bool is_same = recorded && !first_difference(*recorded, facts) && is_same_image(*recorded, image);
    return is_same ? file : nullptr;
  } catch (const FileError&) {
    return nullptr;
  }
}

std::vector<int64_t> latents_makers(const Dataset& dataset, const LatentsExtras& extras) {
  std::map<std::pair<fs::path, std::string>, int64_t> first;  // by file and part
  std::vector<int64_t> makers;
  for (const ImageEntry& image : dataset.images()) {
    const auto request = latents_request(dataset, image, extras);
    const auto key = std::pair(latents_cache_path(image.path, {image.width, image.height}),
                               latents_part(request.bucket, request.variants > 0));
    const ImageEntry& maker = dataset.images()[static_cast<size_t>(first.try_emplace(key, image.index).first->second)];
    const bool is_same = maker.index == image.index ||
                         (maker.path == image.path && latents_facts(dataset, maker) == latents_facts(dataset, image));
    makers.push_back(is_same ? image.index : maker.index);
  }
  return makers;
}

CacheFinding find_text_cache(const fs::path& path, CacheStore& store, const TextRequest& request,
                             const CacheFacts& facts) {
  CacheFinding finding = look(store, path, kTextPart, [&](const io::ArrayFile& file) {
    CacheFinding found = check_text(file, request);
    if (found.state == CacheState::usable) store.rely_on(path, file, text_output_arrays());
    return found;
  });
  if (finding.state != CacheState::usable) return finding;
  return judge(finding, store.facts(path, kTextPart, finding.contents), facts);
}

StoredLatents load_latents(CacheStore& store, const fs::path& path, const LatentsRequest& request, int64_t number) {
  const std::string part = latents_part(request.bucket, request.variants > 0);
  const auto file = open_cache(store, path, part);
  StoredLatents latents = read_cache(file->path(), [&] { return read_latents(*file, request, number); });
  store.expect_same(path, *file, wanted_arrays(request));
  return latents;
}

StoredText load_text(CacheStore& store, const fs::path& path, const TextRequest& request) {
  const auto file = open_cache(store, path, kTextPart);
  StoredText text = read_cache(file->path(), [&] { return read_text(*file, request); });
  store.expect_same(path, *file, text_output_arrays());
  return text;
}

std::vector<StaleCache> stale_caches(const Dataset& dataset) {
  const auto npz = make_cache_store(CacheFormat::npz), shards = make_cache_store(CacheFormat::shard);
  const std::vector<int64_t> makers = latents_makers(dataset);
  const auto count = static_cast<int64_t>(makers.size());
  std::vector<std::vector<StaleCache>> found(makers.size() + 1);  // the last: of whole folders
  run_in_threads(count, [&](int64_t item) {
    const auto index = static_cast<size_t>(item);
    const ImageEntry& image = dataset.images()[index];
    for (const auto& store : {npz, shards}) {
      const Collector collector{found[index], store == shards};
      if (makers[index] == item) {
        collector.add(judge_latents(dataset, image, *store),
                      latents_cache_path(image.path, {image.width, image.height}));
      }
      judge_text_files(image, *store, collector);
    }
  });
  std::set<fs::path> folders;
  for (const ImageEntry& image : dataset.images()) folders.insert(cache_folder(image.path));
  for (const auto& folder : folders) {
    const fs::path empty = empty_text_cache_path(folder);
    for (const auto& store : {npz, shards}) {
      Collector{found.back(), store == shards}.add(judge_text(empty, *store, text_facts("")), empty);
    }
  }
  std::vector<StaleCache> stale;
  for (auto& part : found) std::move(part.begin(), part.end(), std::back_inserter(stale));
  return stale;
}

}  // namespace loraptor::data
