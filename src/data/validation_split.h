// Splits the images of a folder into a training and a validation part.
#pragma once

#include <cstdint>
#include <vector>

namespace loraptor::data {

struct SplitParts {
  std::vector<int64_t> training;    // in shuffled order
  std::vector<int64_t> validation;  // the rest, in shuffled order
};

/// Shuffles 0 .. count-1 with Python's generator and gives the first ceil(count * (1 - fraction)) to training.
///   fraction  0..1; 0 or outside: everything is training, in the given order
/// Source: sd-scripts@48d368f library/train_util.py:split_train_val; differs: validation is the complement, so no image
/// is in both parts or in none.
SplitParts split_for_validation(int64_t count, double fraction, uint64_t seed);

}  // namespace loraptor::data
