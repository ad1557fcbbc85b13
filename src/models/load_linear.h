// Reading the layers of a model from its part of a checkpoint.
#pragma once

#include <string>

#include "models/checkpoint_reader.h"
#include "nn/linear.h"

namespace loraptor::models {

/// The layer `name` from `name`.weight [out,in] and, unless `bias` is false, `name`.bias [out].
/// Throws FileError if one is missing or has another shape.
nn::Linear load_linear(const PartReader& reader, const std::string& name, int64_t out, int64_t in, bool bias = true);

}  // namespace loraptor::models
