// Encodes every image of the data set once, before training; in memory or in files beside the images.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>

#include "data/dataset.h"
#include "data/latents_cache.h"
#include "models/vae.h"
#include "pipeline/cache_config.h"
#include "tensor/rng.h"

namespace loraptor::pipeline {

/// Called after each batch with the number done and the number of all.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// Cached latents by image number; read from the file each time where they lie on disk (throws FileError).
///   choice   in [0,1): which of several variants
using LatentsSource = std::function<data::StoredLatents(int64_t image, double choice)>;

struct LatentsJob {
  const data::Dataset& dataset;
  const CacheConfig& config;
  std::function<const models::Vae&()> vae;  // called only if something has to be encoded
  std::string vae_hash;                     // models::weights_hash, for caches on disk
  tensor::DrawSource& draws;                // posterior noise; for caches on disk the item is a hash of the stem
  Progress progress;
};

/// Encodes what is not cached yet, images of one bucket together in batches of at most `config.vae_batch_size`, while
/// the next images are decoded. Of images that are cut or coloured at random `config.latents_variants` drawn ones are
/// kept. With `config.cache_latents_posterior` the result has moments. `job.dataset` must outlive the result.
/// On disk: usable files are left alone, stale and damaged ones are named and made again; other processes may fill the
/// same folders; what was finished when the process is killed stays.
/// Throws FileError for an unreadable image or a file that cannot be written.
/// Ref: sd-scripts@48d368f library/train_util.py:cache_batch_latents, library/strategy_sd3.py.
LatentsSource cache_latents(const LatentsJob& job);

}  // namespace loraptor::pipeline
