#include "io/pillow_resize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace loraptor::io {
namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
constexpr double kPi = 3.14159265358979323846;

struct Filter {
  double support;  // half width at scale 1
  double (*weight)(double);
};

double sinc(double x) { return x == 0 ? 1 : std::sin(x * kPi) / (x * kPi); }
double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }
double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

/// The input pixels that make one output pixel.
struct Window {
  int64_t begin;
  std::vector<int32_t> weights;  // 22 fraction bits, sum about 1
};

std::vector<Window> make_windows(int64_t from, int64_t to, const Filter& filter) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch;
  std::vector<Window> windows(static_cast<size_t>(to));
  std::vector<double> weights;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const int64_t begin = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const int64_t end = std::min(from, static_cast<int64_t>(centre + support + 0.5));
    weights.clear();
    double sum = 0;
    for (int64_t x = begin; x < end; ++x) {
      weights.push_back(filter.weight((static_cast<double>(x) - centre + 0.5) * (1.0 / stretch)));
      sum += weights.back();
    }
    Window& window = windows[static_cast<size_t>(i)];
    window.begin = begin;
    for (double weight : weights) {
      const double fixed = (sum != 0 ? weight / sum : weight) * (1 << kPrecisionBits);
      window.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return windows;
}

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

template <int kChannels>
void resize_row(const uint8_t* from, uint8_t* to, const std::vector<Window>& windows) {
  for (const Window& window : windows) {
    int32_t sums[kChannels];
    std::fill_n(sums, kChannels, kHalf);
    const uint8_t* pixel = from + window.begin * kChannels;
    for (const int32_t weight : window.weights) {
      for (int c = 0; c < kChannels; ++c) sums[c] += weight * pixel[c];
      pixel += kChannels;
    }
    for (int c = 0; c < kChannels; ++c) *to++ = rounded(sums[c]);
  }
}

Image resize_width(const Image& image, int64_t width, const Filter& filter) {
  if (width == image.width) return image;
  const auto windows = make_windows(image.width, width, filter);
  Image result = make_image(width, image.height, image.channels);
  for (int64_t y = 0; y < image.height; ++y) {
    if (image.channels == 4) {
      resize_row<4>(image.row(y), result.row(y), windows);
    } else {
      resize_row<3>(image.row(y), result.row(y), windows);
    }
  }
  return result;
}

Image resize_height(const Image& image, int64_t height, const Filter& filter) {
  if (height == image.height) return image;
  const auto windows = make_windows(image.height, height, filter);
  Image result = make_image(image.width, height, image.channels);
  std::vector<int32_t> sums(image.row_bytes());
  for (int64_t y = 0; y < height; ++y) {
    const Window& window = windows[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (size_t i = 0; i < window.weights.size(); ++i) {
      const uint8_t* from = image.row(window.begin + static_cast<int64_t>(i));
      const int32_t weight = window.weights[i];
      for (size_t x = 0; x < sums.size(); ++x) sums[x] += weight * from[x];
    }
    std::transform(sums.begin(), sums.end(), result.row(y), rounded);
  }
  return result;
}

/// Measured on Pillow 13.0.0; the order shows, since each pass rounds and clamps.
bool height_goes_first(const Image& image, int64_t width, int64_t height) {
  return height < image.height && image.height - height > 2 * (image.width - width);
}

Image premultiplied(Image image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) {
      const int product = image.pixels[i + c] * image.pixels[i + 3] + 128;
      image.pixels[i + c] = static_cast<uint8_t>(((product >> 8) + product) >> 8);
    }
  }
  return image;
}

void undo_premultiply(Image& image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4) {
    const int alpha = image.pixels[i + 3];
    if (alpha == 0 || alpha == 255) continue;
    for (size_t c = 0; c < 3; ++c) {
      image.pixels[i + c] = static_cast<uint8_t>(std::min(255, 255 * image.pixels[i + c] / alpha));
    }
  }
}

Image resize_channels(const Image& image, int64_t width, int64_t height, const Filter& filter) {
  if (height_goes_first(image, width, height)) {
    return resize_width(resize_height(image, height, filter), width, filter);
  }
  return resize_height(resize_width(image, width, filter), height, filter);
}

}  // namespace

Image pillow_resize(const Image& image, int64_t width, int64_t height, PillowFilter filter) {
  LORAPTOR_ASSERT(image.channels == 3 || image.channels == 4);
  LORAPTOR_ASSERT(width > 0 && height > 0);
  const Filter chosen = filter == PillowFilter::lanczos ? Filter{3.0, lanczos} : Filter{0.5, box};
  if (image.channels == 3) return resize_channels(image, width, height, chosen);
  Image result = resize_channels(premultiplied(image), width, height, chosen);
  undo_premultiply(result);
  return result;
}

}  // namespace loraptor::io
