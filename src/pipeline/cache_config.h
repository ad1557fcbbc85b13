// Settings of the caches of latents and text-encoder outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/cache_store.h"

namespace loraptor::pipeline {

/// Field names are the flags' names without dashes.
struct CacheConfig {
  bool cache_text_encoder_outputs = false;          // encode each caption once, before training
  bool cache_text_encoder_outputs_to_disk = false;  // and keep the result in <stem>_sd3_te.npz
  std::optional<int64_t> text_encoder_batch_size;   // captions per encoder call; unset: the training batch size
  int64_t cache_text_encoder_variants = 0;          // drawn captions kept of an image, beside the stored one; 0: none
  bool cache_latents = false;                       // encode each image once, before training
  bool cache_latents_to_disk = false;               // and keep the result in <stem>_<W>x<H>_sd3.npz
  bool cache_latents_posterior = false;             // keep the whole posterior and draw a sample at each use
  int64_t latents_variants = 0;                     // drawn crops and colours kept of an image; 0: none
  int64_t vae_batch_size = 1;                       // images per VAE call
  std::string cache_format = "npz";                 // of caches on disk: npz, or shard for very large sets
  bool skip_cache_check = false;                    // trust cache files without opening them

  data::CacheFormat format() const {
    return cache_format == "shard" ? data::CacheFormat::shard : data::CacheFormat::npz;
  }
};

}  // namespace loraptor::pipeline
