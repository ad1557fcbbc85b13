// Small pictures of what training gets.
#pragma once

#include <cstdint>

#include "data/dataset.h"
#include "io/image.h"

namespace loraptor::pipeline {

/// An image as the first epoch shows it, resized, cut, mirrored and coloured as its subset asks, and then made small.
///   longest_side   px, of the result
/// Throws FileError, UsageError as data::load_batch.
io::Image preview(const data::Dataset& dataset, const data::ImageEntry& image, int64_t longest_side);

}  // namespace loraptor::pipeline
