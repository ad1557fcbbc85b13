// Options of the caches.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> caching_options() {
  return group(
      "Caches of latents and text outputs",
      {
          option("--cache_text_encoder_outputs", FIELD(cache.cache_text_encoder_outputs),
                 "Encode each caption once before training and keep the results in memory."),
          option("--cache_text_encoder_outputs_to_disk", FIELD(cache.cache_text_encoder_outputs_to_disk),
                 "Keep them in <stem>_sd3_te.npz beside the images."),
          option(
              "--cache_text_encoder_variants", FIELD(cache.cache_text_encoder_variants),
              "Keep the outputs of N drawn captions of each image, and of the empty one, so that shuffling, tag and "
              "caption dropout, wildcards, prefix and suffix work with cached outputs; 0: captions as they are stored.")
              .addition(),
          option("--text_encoder_batch_size", FIELD(cache.text_encoder_batch_size),
                 "Captions encoded at a time; default: the training batch size."),
          option("--cache_latents", FIELD(cache.cache_latents),
                 "Encode each image once before training and keep the latents in memory."),
          option("--cache_latents_to_disk", FIELD(cache.cache_latents_to_disk),
                 "Keep them in <stem>_<width>x<height>_sd3.npz beside the images."),
          option("--cache_latents_posterior", FIELD(cache.cache_latents_posterior),
                 "Keep the whole posterior of each image and draw another sample of it at each use; three times the "
                 "space.")
              .addition(),
          option("--latents_variants", FIELD(cache.latents_variants),
                 "Keep N drawn crops and colours of each image with random_crop or color_aug, one of which is taken at "
                 "each use; 0: such images cannot be cached.")
              .addition(),
          option("--vae_batch_size", FIELD(cache.vae_batch_size),
                 "Images encoded by the VAE at a time while caching; in training each is encoded once, alone."),
          option(
              "--cache_format", FIELD(cache.cache_format),
              "How caches on disk are kept: npz, files that kohya's scripts read too, or shard, a few large files in "
              "loraptor_shards of each image folder, for sets of very many images.")
              .one_of({"npz", "shard"})
              .addition(),
          option("--skip_cache_check", FIELD(cache.skip_cache_check), "Trust cache files without opening them."),
      });
}

}  // namespace loraptor::cli
