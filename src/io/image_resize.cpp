#include "io/image_resize.h"

#include <fmt/format.h>

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
    case Interpolation::nearest: return opencv_resize(image, width, height, cv::INTER_NEAREST_EXACT);
    case Interpolation::bilinear: return opencv_resize(image, width, height, cv::INTER_LINEAR);
    case Interpolation::bicubic: return opencv_resize(image, width, height, cv::INTER_CUBIC);
    default: return opencv_resize(image, width, height, cv::INTER_AREA);
  }
}

}  // namespace loraptor::io
