// Which images form which batch in an epoch.
#include "data/epoch_order.h"

#include <algorithm>

#include "base/error.h"
#include "data/python_random.h"

namespace loraptor::data {
namespace {

void shuffle(Arrangement& arrangement, int64_t seed) {
  PythonRandom random(seed);
  random.shuffle(arrangement.batches);
  for (auto& bucket : arrangement.buckets) random.shuffle(bucket);
}

}  // namespace

int64_t dataset_seed(uint64_t seed) { return PythonRandom(static_cast<int64_t>(seed)).randint(0, int64_t{1} << 31); }

Arrangement arrange_epoch(const std::vector<std::vector<uint64_t>>& buckets, int64_t batch_size, int64_t dataset_seed,
                          int64_t epoch) {
  LORAPTOR_ASSERT(batch_size > 0);
  Arrangement arrangement{{}, buckets};
  for (size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    const auto items = static_cast<int64_t>(buckets[bucket].size());
    for (int64_t run = 0; run * batch_size < items; ++run) {
      arrangement.batches.emplace_back(static_cast<int64_t>(bucket), run);
    }
  }
  shuffle(arrangement, 0);
  for (int64_t e = 1; e <= epoch; ++e) shuffle(arrangement, dataset_seed + e);
  return arrangement;
}

std::vector<uint64_t> batch_items(const Arrangement& arrangement, int64_t batch_size, size_t batch) {
  const auto [bucket, run] = arrangement.batches.at(batch);
  const auto& items = arrangement.buckets.at(static_cast<size_t>(bucket));
  const auto begin = static_cast<size_t>(run * batch_size);
  const size_t end = std::min(items.size(), begin + static_cast<size_t>(batch_size));
  return {items.begin() + static_cast<std::ptrdiff_t>(begin), items.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace loraptor::data
