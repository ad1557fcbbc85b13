// Splits the images of a folder into a training and a validation part.
#include "data/validation_split.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/python_random.h"

namespace loraptor::data {

SplitParts split_for_validation(int64_t count, double fraction, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (!(fraction > 0 && fraction <= 1)) return {std::move(order), {}};
  PythonRandom(static_cast<int64_t>(seed)).shuffle(order);
  const auto training = std::min(count, static_cast<int64_t>(std::ceil(static_cast<double>(count) * (1 - fraction))));
  return {{order.begin(), order.begin() + training}, {order.begin() + training, order.end()}};
}

}  // namespace loraptor::data
