// Encodes every image of the data set once, before training.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <optional>
#include <vector>

#include "data/dataset.h"
#include "models/vae.h"
#include "tensor/rng.h"

namespace loraptor::pipeline {

/// What is kept of one image: raw latents (before shift and scale), one drawn posterior sample.
struct CachedLatents {
  at::Tensor latents;              // float32 [16,h,w], CPU
  at::Tensor flipped;              // the mirrored image's, if its subset mirrors; else undefined
  std::optional<at::Tensor> mask;  // float32 [H,W], unmirrored, if its subset uses the alpha channel
};

/// Called after each image with the number done and the number of all.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// Encodes all images, those of one bucket together in batches of at most `batch_size`.
/// Returns one entry per image, by its number in the data set.
/// Throws FileError for an unreadable image.
/// Ref: sd-scripts@48d368f library/train_util.py:cache_batch_latents.
std::vector<CachedLatents> cache_latents(const data::Dataset& dataset, const models::Vae& vae,
                                         tensor::DrawSource& draws, int64_t batch_size, const Progress& progress);

}  // namespace loraptor::pipeline
