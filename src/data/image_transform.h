// From a decoded image to the pixels a bucket wants, and on to a tensor.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "io/image.h"
#include "io/image_resize.h"

namespace loraptor::data {

/// How an image gets to its bucket's size: resized first, then cut. All in pixels.
struct ResizeCrop {
  int64_t resized_width = 0;
  int64_t resized_height = 0;
  int64_t crop_left = 0;  // of the box within the resized image
  int64_t crop_top = 0;
  int64_t width = 0;  // of the box: the bucket
  int64_t height = 0;
};

/// Offset of a centre crop: half of what is too much, rounded down. `size` must be at least `target`.
int64_t centre_crop_offset(int64_t size, int64_t target);

/// Resizes (unless the size fits already) and cuts out the box. The box must lie within the resized image.
/// Ref: sd-scripts@48d368f library/train_util.py:trim_and_resize_if_required.
io::Image resize_and_crop(const io::Image& image, const ResizeCrop& geometry, io::Interpolation interpolation);

/// The box of an image, all channels.
io::Image crop_image(const io::Image& image, int64_t left, int64_t top, int64_t width, int64_t height);

/// RGB or RGBA (alpha left out) -> float32 [3,H,W], CPU, (v / 255 - 0.5) / 0.5, so -1..1.
/// Ref: sd-scripts@48d368f library/train_util.py:IMAGE_TRANSFORMS.
at::Tensor image_to_tensor(const io::Image& image);

/// A picture from the VAE's decoder: [3,H,W], any float dtype and device -> RGB, clamp((v + 1) / 2, 0, 1) * 255 without
/// its fraction. Ref: sd-scripts@48d368f library/sd3_train_utils.py:sample_image_inference.
io::Image tensor_to_image(const at::Tensor& pixels);

}  // namespace loraptor::data
