// Which images form which batch in an epoch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace loraptor::data {

/// The batches of one data set: bucket after bucket, each cut into runs of batch_size; the last run of a bucket may be
/// shorter. A batch never mixes buckets.
struct Arrangement {
  std::vector<std::pair<int64_t, int64_t>> batches;  // (bucket, run within the bucket), in index order
  std::vector<std::vector<uint64_t>> buckets;        // items of each bucket, in order
};

/// The number every data set of a run is shuffled with: the first draw after seeding Python's generator.
int64_t dataset_seed(uint64_t seed);

/// Returns the arrangement of an epoch: shuffled once with seed 0 (epoch 0), then in place for each epoch e = 1, 2, …
/// with dataset_seed + e. So epoch e is the composition of all before it.
///   buckets  items of each bucket in registration order, repeats included
/// Source: sd-scripts@48d368f library/train_util.py:BaseDataset.shuffle_buckets, set_current_epoch.
Arrangement arrange_epoch(const std::vector<std::vector<uint64_t>>& buckets, int64_t batch_size, int64_t dataset_seed,
                          int64_t epoch);

/// The items of one batch.
std::vector<uint64_t> batch_items(const Arrangement& arrangement, int64_t batch_size, size_t batch);

}  // namespace loraptor::data
