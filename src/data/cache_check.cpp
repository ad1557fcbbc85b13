#include "data/cache_check.h"

#include <fmt/format.h>

#include "base/hash.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

/// A usable file is stale if its record says that it was made from something else.
CacheFinding judge(CacheFinding finding, const CacheFacts* recorded, const CacheFacts& facts) {
  if (finding.state != CacheState::usable || recorded == nullptr) return finding;
  finding.is_recorded = true;
  if (const auto difference = first_difference(*recorded, facts)) {
    finding.state = CacheState::stale;
    finding.why = *difference;
  }
  return finding;
}

std::string hash_text(const std::string& text) { return fmt::format("{:016x}", xxh3(text)); }

/// The mask flags of a text cache do not make it stale: whichever it has, they are asked for.
CacheFinding find_text_with_any_flags(const ImageEntry& image, CacheIndexes& indexes) {
  for (const bool lg : {false, true}) {
    for (const bool t5 : {false, true}) {
      const TextRequest request{.apply_lg_mask = lg, .apply_t5_mask = t5};
      auto finding = find_text_cache(text_cache_path(image.path), indexes, request, text_facts(image.caption));
      if (finding.state != CacheState::absent) return finding;
    }
  }
  return {};
}

}  // namespace

CacheIndex& CacheIndexes::of(const fs::path& cache) {
  const fs::path folder = cache.has_parent_path() ? cache.parent_path() : fs::path(".");
  return indexes_.try_emplace(folder, folder).first->second;
}

void CacheIndexes::flush() {
  for (auto& [folder, index] : indexes_) index.flush();
}

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

CacheFacts text_facts(const std::string& caption) { return {{"caption", hash_text(caption)}}; }

CacheFinding find_latents_cache(const Dataset& dataset, const ImageEntry& image, CacheIndexes& indexes,
                                const CacheFacts& facts, const LatentsExtras& extras) {
  const LatentsRequest request = latents_request(dataset, image, extras);
  const fs::path path = latents_cache_path(image.path, {image.width, image.height});
  CacheFinding finding = check_latents_cache(path, request);
  if (finding.state != CacheState::usable) return finding;
  const CacheFacts* recorded = indexes.of(path).find(
      path.filename().string(), latents_part(request.bucket, request.variants > 0), finding.contents);
  finding = judge(std::move(finding), recorded, facts);
  if (finding.state == CacheState::usable && recorded != nullptr && !is_same_image(*recorded, image.path)) {
    finding.state = CacheState::stale;
    finding.why = "the image was changed";
  }
  return finding;
}

CacheFinding find_text_cache(const fs::path& path, CacheIndexes& indexes, const TextRequest& request,
                             const CacheFacts& facts) {
  CacheFinding finding = check_text_cache(path, request);
  if (finding.state != CacheState::usable) return finding;
  const CacheFacts* recorded = indexes.of(path).find(path.filename().string(), kTextPart, finding.contents);
  return judge(std::move(finding), recorded, facts);
}

std::vector<StaleCache> stale_caches(const Dataset& dataset) {
  CacheIndexes indexes;
  std::vector<StaleCache> stale;
  const auto add = [&](const CacheFinding& finding, const fs::path& path, const ImageEntry& image) {
    if (finding.state == CacheState::stale || finding.state == CacheState::unusable) {
      stale.push_back({path, image.path, finding.why});
    }
  };
  for (const ImageEntry& image : dataset.images()) {
    add(find_latents_cache(dataset, image, indexes, latents_facts(dataset, image)),
        latents_cache_path(image.path, {image.width, image.height}), image);
    add(find_text_with_any_flags(image, indexes), text_cache_path(image.path), image);
  }
  return stale;
}

}  // namespace loraptor::data
