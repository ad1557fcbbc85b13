#include "io/image_resize.h"

#include <fmt/format.h>

#include <algorithm>

#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "base/suggest.h"
#include "io/pillow_resize.h"

namespace loraptor::io {
namespace {

struct Row {
  std::string_view name;
  Interpolation interpolation;
};

constexpr Row kNames[] = {{"lanczos", Interpolation::lanczos},   {"nearest", Interpolation::nearest},
                          {"bilinear", Interpolation::bilinear}, {"linear", Interpolation::bilinear},
                          {"bicubic", Interpolation::bicubic},   {"cubic", Interpolation::bicubic},
                          {"area", Interpolation::area},         {"box", Interpolation::box}};

cv::Mat view(const Image& image) {
  auto* pixels = const_cast<uint8_t*>(image.pixels.data());
  return cv::Mat(static_cast<int>(image.height), static_cast<int>(image.width),
                 CV_8UC(static_cast<int>(image.channels)), pixels);
}

Image opencv_resize(const Image& image, int64_t width, int64_t height, int method) {
  Image result = make_image(width, height, image.channels);
  cv::Mat to = view(result);
  const uint8_t* const place = to.data;
  cv::resize(view(image), to, to.size(), 0, 0, method);
  LORAPTOR_ASSERT(to.data == place);
  return result;
}

/// The input position of each output position, in 16-bit fixed point like OpenCV 4.10's INTER_NEAREST_EXACT. OpenCV
/// of Debian 12 (4.6) is off by one where the position falls between two pixels, so it is done here.
std::vector<int64_t> nearest_positions(int64_t from, int64_t to) {
  const int64_t scale = ((from << 16) + to / 2) / to;
  const int64_t start = scale / 2 - from % 2;
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < to; ++i) positions.push_back(std::clamp<int64_t>((scale * i + start) >> 16, 0, from - 1));
  return positions;
}

Image nearest_resize(const Image& image, int64_t width, int64_t height) {
  const auto columns = nearest_positions(image.width, width);
  const auto rows = nearest_positions(image.height, height);
  Image result = make_image(width, height, image.channels);
  uint8_t* to = result.pixels.data();
  for (const int64_t y : rows) {
    for (const int64_t x : columns) to = std::copy_n(image.row(y) + x * image.channels, image.channels, to);
  }
  return result;
}

}  // namespace

Interpolation parse_interpolation(std::string_view name, std::string_view where) {
  std::vector<std::string> known;
  for (const Row& row : kNames) {
    if (row.name == name) return row.interpolation;
    known.emplace_back(row.name);
  }
  const std::string hint = did_you_mean(name, known);
  throw UsageError(
      fmt::format("[{}] interpolation: got '{}', expected lanczos, nearest, bilinear, linear, bicubic, "
                  "cubic, area or box.{}",
                  where, name, hint.empty() ? "" : "\nHint: " + hint));
}

Image resize_image(const Image& image, int64_t width, int64_t height, Interpolation interpolation) {
  LORAPTOR_ASSERT(width > 0 && height > 0);
  if (width == image.width && height == image.height) return image;
  const bool grows = width > image.width || height > image.height;
  if (interpolation == Interpolation::automatic) interpolation = grows ? Interpolation::lanczos : Interpolation::area;
  switch (interpolation) {
    case Interpolation::lanczos: return pillow_resize(image, width, height, PillowFilter::lanczos);
    case Interpolation::box: return pillow_resize(image, width, height, PillowFilter::box);
    case Interpolation::nearest: return nearest_resize(image, width, height);
    case Interpolation::bilinear: return opencv_resize(image, width, height, cv::INTER_LINEAR);
    case Interpolation::bicubic: return opencv_resize(image, width, height, cv::INTER_CUBIC);
    default: return opencv_resize(image, width, height, cv::INTER_AREA);
  }
}

}  // namespace loraptor::io
