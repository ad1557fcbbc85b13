// The numbers of a data set, table by table.
#include "pipeline/dataset_report.h"

#include <algorithm>

namespace loraptor::pipeline {
namespace {

const std::string& source_of(const data::SubsetConfig& subset) {
  return subset.metadata_file.empty() ? subset.image_dir : subset.metadata_file;
}

int64_t images_of(const data::DatasetPart& part, const std::string& source) {
  for (const data::SubsetPart& subset : part.subsets) {
    if (source_of(subset.config) == source) return subset.image_count;
  }
  return 0;
}

/// Subsets all of whose images are set aside.
void add_whole_asides(const data::DatasetPart& aside, const data::DatasetPart& training, int64_t dataset,
                      std::vector<SubsetSummary>& summaries) {
  for (const data::SubsetPart& subset : aside.subsets) {
    const std::string& source = source_of(subset.config);
    if (images_of(training, source) > 0) continue;
    summaries.push_back(
        {.dataset = dataset, .source = source, .repeats = subset.config.num_repeats, .set_aside = subset.image_count});
  }
}

}  // namespace

std::vector<SubsetSummary> summarize_subsets(const data::DatasetGroups& groups) {
  std::vector<SubsetSummary> summaries;
  const data::Dataset& training = groups.training;
  auto next_aside = groups.validation.parts().begin();
  for (size_t d = 0; d < training.parts().size(); ++d) {
    const data::DatasetPart& part = training.parts()[d];
    // The validation group has the data sets that are split, in the same order.
    const bool is_split = part.config.validation_split > 0 && part.config.validation_split <= 1;
    const data::DatasetPart* aside = is_split ? &*next_aside++ : nullptr;
    for (size_t s = 0; s < part.subsets.size(); ++s) {
      const data::SubsetConfig& config = part.subsets[s].config;
      SubsetSummary summary;
      summary.dataset = static_cast<int64_t>(d);
      summary.source = source_of(config);
      summary.is_reg = config.is_reg;
      summary.repeats = config.num_repeats;
      summary.images = part.subsets[s].image_count;
      if (aside != nullptr) summary.set_aside = images_of(*aside, summary.source);
      for (const data::ImageEntry& image : training.images()) {
        const bool is_of_subset = image.dataset == summary.dataset && image.subset == static_cast<int64_t>(s);
        if (is_of_subset) summary.samples += image.repeats;
      }
      summaries.push_back(std::move(summary));
    }
    if (aside != nullptr) add_whole_asides(*aside, part, static_cast<int64_t>(d), summaries);
  }
  return summaries;
}

std::vector<BucketSummary> summarize_buckets(const data::Dataset& dataset) {
  std::vector<BucketSummary> summaries;
  std::vector<size_t> first_of_dataset;
  for (size_t d = 0; d < dataset.parts().size(); ++d) {
    const data::DatasetPart& part = dataset.parts()[d];
    first_of_dataset.push_back(summaries.size());
    for (size_t b = 0; b < part.buckets.size(); ++b) {
      BucketSummary summary;
      summary.dataset = static_cast<int64_t>(d);
      summary.size = part.buckets[b];
      summary.samples = static_cast<int64_t>(part.bucket_occurrences[b].size());
      summary.batches = (summary.samples + part.config.batch_size - 1) / part.config.batch_size;
      summaries.push_back(std::move(summary));
    }
  }
  for (const data::ImageEntry& image : dataset.images()) {
    const auto& buckets = dataset.parts()[static_cast<size_t>(image.dataset)].buckets;
    const auto bucket = std::lower_bound(buckets.begin(), buckets.end(), image.geometry.bucket) - buckets.begin();
    const size_t first = first_of_dataset[static_cast<size_t>(image.dataset)];
    summaries[first + static_cast<size_t>(bucket)].images.push_back(image.index);
  }
  return summaries;
}

}  // namespace loraptor::pipeline
