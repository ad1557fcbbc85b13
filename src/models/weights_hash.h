// Tells model files apart without reading them whole.
#pragma once

#include <string>

#include "models/model_files.h"

namespace loraptor::models {

/// A hash of the part's tensor names, dtypes, shapes and of samples of every tensor's bytes: 16 hexadecimal digits.
/// Reads a few pages per tensor, so that a text encoder of 10 GB takes a moment. Throws like ModelFiles::part.
std::string weights_hash(const ModelFiles& files, Part part);

}  // namespace loraptor::models
