// One batch, loaded: pixels, masks, captions and weights.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/image_transform.h"

namespace loraptor::data {

struct Batch {
  BatchPlan plan;
  at::Tensor pixels;                  // float32 [B,3,H,W], RGB in -1..1; undefined when loaded without pixels
  std::vector<std::string> captions;  // after caption transforms
  std::vector<std::string> stems;
  at::Tensor loss_weights;               // float32 [B]
  std::optional<at::Tensor> masks;       // float32 [B,H,W] in 0..1, if any image has one; others are all ones
  std::vector<uint8_t> flipped;          // 1: mirrored (pixels and masks are; cached latents have to be)
  std::vector<ResizeCrop> crops;         // how each image got to its bucket, before it was mirrored
  std::vector<uint8_t> preserve_output;  // 1: custom attribute diff_output_preservation
};

/// Loads a batch. A pure function of its arguments and the files: draws depend on (seed, epoch, occurrence) only.
///   epoch        from 1
///   step         the optimizer step in which the batch is used, from 0
///   with_pixels  false when latents are cached: then only mask images (not alpha channels) are read
/// Throws FileError (unreadable image, mask of another size than its image), UsageError (image smaller than a random
/// crop).
/// Source: sd-scripts@48d368f library/train_util.py:BaseDataset.__getitem__.
Batch load_batch(const Dataset& dataset, const BatchPlan& plan, int64_t epoch, int64_t step, bool with_pixels);

/// A drawn caption of an image, as transform_caption makes it, but never dropped as a whole: a function of the
/// settings, the file's name and `number`, from 1.
std::string caption_variant(const Dataset& dataset, const ImageEntry& image, int64_t number);

/// One image as it is encoded for the latent cache, not mirrored.
struct CacheInput {
  at::Tensor pixels;               // float32 [3,H,W], RGB in -1..1
  std::optional<at::Tensor> mask;  // float32 [H,W] in 0..1: the alpha channel, if the subset uses it
  Size original;                   // px, as decoded
};

/// Loads an image for the cache.
///   variant   0: resized and cut at the centre, colours unchanged; from 1: cut and coloured at random as the subset
///             asks, a function of the file's name and this number
/// Throws FileError, UsageError as load_batch does.
CacheInput load_cache_input(const Dataset& dataset, const ImageEntry& image, int64_t variant = 0);

}  // namespace loraptor::data
