// Sizes of the recorded data: [width, height].
#pragma once

#include <nlohmann/json.hpp>

#include "data/bucket.h"

namespace loraptor::data {

inline Size size_of(const nlohmann::json& pair) { return {pair[0].get<int64_t>(), pair[1].get<int64_t>()}; }

}  // namespace loraptor::data
