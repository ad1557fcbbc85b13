// What a state keeps of the data set's description: whoever resumes with an edited one is told what differs.
#pragma once

#include "data/dataset.h"
#include "train/run_identity.h"

namespace loraptor::train {

/// The settings of each data set and subset that has images, after all fallbacks, without those that are defaults:
/// "data set 1, subset 2, num_repeats" -> "3". Subsets are numbered as they are described, from 1.
RunIdentity data_identity(const data::Dataset& training);

}  // namespace loraptor::train
