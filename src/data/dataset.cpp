// The images of a run and the batches of each epoch.
#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/dataset_build.h"
#include "data/epoch_order.h"
#include "data/python_text.h"
#include "data/tag_counts.h"
#include "tensor/rng.h"

namespace loraptor::data {
namespace {

const ImageEntry& image_of_occurrence(const std::vector<ImageEntry>& images, uint64_t occurrence) {
  const auto after =
      std::upper_bound(images.begin(), images.end(), occurrence,
                       [](uint64_t value, const ImageEntry& image) { return value < image.first_occurrence; });
  LORAPTOR_ASSERT(after != images.begin());
  return *std::prev(after);
}

BatchPlan make_plan(const std::vector<ImageEntry>& images, std::vector<uint64_t> occurrences) {
  BatchPlan plan;
  for (const uint64_t occurrence : occurrences) plan.images.push_back(image_of_occurrence(images, occurrence).index);
  const ImageEntry& first = images[static_cast<size_t>(plan.images.front())];
  plan.dataset = first.dataset;
  plan.bucket_width = first.geometry.bucket.width;
  plan.bucket_height = first.geometry.bucket.height;
  plan.occurrences = std::move(occurrences);
  return plan;
}

const ImageEntry& find_stem(const std::vector<ImageEntry>& images, const std::string& stem) {
  const ImageEntry* found = nullptr;
  for (const ImageEntry& image : images) {
    if (image.stem() != stem) continue;
    if (found != nullptr) {
      throw UsageError(fmt::format("[recorded batches] file stem '{}': got '{}' and '{}', expected one image.", stem,
                                   found->path, image.path));
    }
    found = &image;
  }
  if (found == nullptr) {
    throw UsageError(fmt::format(
        "[recorded batches] file stem: got '{}', expected one of the {} images of the data set.", stem, images.size()));
  }
  return *found;
}

}  // namespace

std::string ImageEntry::stem() const { return without_extension(base_name(path)); }

int64_t DatasetPart::batch_count() const {
  int64_t count = 0;
  for (const auto& bucket : bucket_occurrences) {
    count += (static_cast<int64_t>(bucket.size()) + config.batch_size - 1) / config.batch_size;
  }
  return count;
}

TagFrequency DatasetPart::tag_frequency() const {
  TagFrequency frequency;
  for (const auto& [source, texts] : tags) frequency[source] = count_tags(texts);
  return frequency;
}

Dataset::Dataset(DatasetContent content) : content_(std::move(content)), dataset_seed_(dataset_seed(content_.seed)) {}

Dataset Dataset::build(const DataConfig& flags, uint64_t seed) {
  return Dataset(build_content(scan_datasets(flags), flags, seed, false));
}

DatasetGroups Dataset::build_groups(const DataConfig& flags, uint64_t seed) {
  const ScannedDatasets scanned = scan_datasets(flags);
  return {Dataset(build_content(scanned, flags, seed, false)), Dataset(build_content(scanned, flags, seed, true))};
}

void DatasetGroups::set_caption_variants(int64_t count) {
  training.set_caption_variants(count);
  validation.set_caption_variants(count);
}

const SubsetConfig& Dataset::subset_of(const ImageEntry& image) const {
  return parts().at(static_cast<size_t>(image.dataset)).subsets.at(static_cast<size_t>(image.subset)).config;
}

const std::string* Dataset::mask_path(const ImageEntry& image) const {
  const auto found = content_.mask_paths.find(image.index);
  return found == content_.mask_paths.end() ? nullptr : &found->second;
}

int64_t Dataset::batches_per_epoch() const {
  int64_t count = 0;
  for (const DatasetPart& part : parts()) count += part.batch_count();
  return count;
}

int64_t Dataset::num_train_images() const {
  int64_t count = 0;
  for (const DatasetPart& part : parts()) count += part.num_train_images;
  return count;
}

int64_t Dataset::num_reg_images() const {
  int64_t count = 0;
  for (const DatasetPart& part : parts()) count += part.num_reg_images;
  return count;
}

std::vector<BatchPlan> Dataset::epoch(int64_t epoch) const {
  std::vector<BatchPlan> plans;
  for (const DatasetPart& part : parts()) {
    const int64_t batch_size = part.config.batch_size;
    const Arrangement arrangement =
        arrange_epoch(part.bucket_occurrences, batch_size, dataset_seed_, is_validation() ? 0 : epoch);
    for (size_t i = 0; i < arrangement.batches.size(); ++i) {
      plans.push_back(make_plan(images(), batch_items(arrangement, batch_size, i)));
    }
  }
  if (is_validation()) return plans;
  const tensor::DrawKey key{tensor::Purpose::epoch_order, static_cast<uint64_t>(epoch)};
  std::vector<BatchPlan> visited;
  for (const int64_t i : tensor::CounterRng(seed()).permutation(static_cast<int64_t>(plans.size()), key)) {
    visited.push_back(std::move(plans[static_cast<size_t>(i)]));
  }
  return visited;
}

BatchPlan plan_from_stems(const Dataset& dataset, const std::vector<std::string>& stems) {
  if (stems.empty()) throw UsageError("[recorded batches] batch: got no images, expected at least one.");
  std::vector<uint64_t> occurrences;
  const ImageEntry& first = find_stem(dataset.images(), stems.front());
  std::map<std::string, uint64_t> seen;
  for (const std::string& stem : stems) {
    const ImageEntry& image = find_stem(dataset.images(), stem);
    if (image.dataset != first.dataset || image.geometry.bucket != first.geometry.bucket) {
      throw UsageError(fmt::format(
          "[recorded batches] images of one batch: got '{}' of data set {} with bucket {} and '{}' of data set {} with "
          "bucket {}, expected the same data set and bucket.",
          first.stem(), first.dataset, to_string(first.geometry.bucket), stem, image.dataset,
          to_string(image.geometry.bucket)));
    }
    occurrences.push_back(image.first_occurrence + seen[stem]++ % static_cast<uint64_t>(image.repeats));
  }
  const int64_t batch_size = dataset.parts()[static_cast<size_t>(first.dataset)].config.batch_size;
  if (static_cast<int64_t>(stems.size()) > batch_size) {
    throw UsageError(fmt::format("[recorded batches] batch: got {} images, expected at most the batch size {}.",
                                 stems.size(), batch_size));
  }
  return make_plan(dataset.images(), std::move(occurrences));
}

}  // namespace loraptor::data
