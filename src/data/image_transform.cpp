#include "data/image_transform.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace loraptor::data {
namespace {

/// The tensor value of each byte: the same three float32 steps as the reference.
std::array<float, 256> make_byte_values() {
  std::array<float, 256> values;
  for (size_t v = 0; v < values.size(); ++v) values[v] = (static_cast<float>(v) / 255.0f - 0.5f) / 0.5f;
  return values;
}

}  // namespace

int64_t centre_crop_offset(int64_t size, int64_t target) {
  LORAPTOR_ASSERT(size >= target);
  return (size - target) / 2;
}

io::Image crop_image(const io::Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  LORAPTOR_ASSERT(left >= 0 && top >= 0 && width > 0 && height > 0);
  LORAPTOR_ASSERT(left + width <= image.width && top + height <= image.height);
  if (width == image.width && height == image.height) return image;
  io::Image result = io::make_image(width, height, image.channels);
  for (int64_t y = 0; y < height; ++y) {
    std::copy_n(image.row(top + y) + left * image.channels, result.row_bytes(), result.row(y));
  }
  return result;
}

io::Image resize_and_crop(const io::Image& image, const ResizeCrop& geometry, io::Interpolation interpolation) {
  const io::Image resized = io::resize_image(image, geometry.resized_width, geometry.resized_height, interpolation);
  return crop_image(resized, geometry.crop_left, geometry.crop_top, geometry.width, geometry.height);
}

at::Tensor image_to_tensor(const io::Image& image) {
  static const std::array<float, 256> kByteValues = make_byte_values();
  at::Tensor result = at::empty({3, image.height, image.width}, at::kFloat);
  float* to = result.mutable_data_ptr<float>();
  const int64_t plane = image.height * image.width;
  const uint8_t* from = image.pixels.data();
  for (int64_t i = 0; i < plane; ++i, from += image.channels) {
    for (int64_t c = 0; c < 3; ++c) to[c * plane + i] = kByteValues[from[c]];
  }
  return result;
}

io::Image tensor_to_image(const at::Tensor& pixels) {
  LORAPTOR_ASSERT(pixels.dim() == 3 && pixels.size(0) == 3);
  const at::Tensor values = ((pixels.detach().to(at::kCPU, at::kFloat) + 1) / 2).clamp(0, 1) * 255;
  const at::Tensor bytes = values.to(at::kByte).permute({1, 2, 0}).contiguous();  // [3,H,W] -> [H,W,3]
  io::Image image = io::make_image(bytes.size(1), bytes.size(0), 3);
  std::copy_n(bytes.const_data_ptr<uint8_t>(), image.pixels.size(), image.pixels.data());
  return image;
}

}  // namespace loraptor::data
