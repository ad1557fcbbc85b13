// Random changes to an image: where it is cut, and its colours.
#include "data/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "base/error.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

int64_t random_offset(int64_t size, int64_t target, PythonRandom& random) {
  return size > target ? random.randint(0, size - target) : 0;
}

int64_t scaled(int64_t value, double scale) { return static_cast<int64_t>(static_cast<double>(value) * scale + 0.5); }

double divide(int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

/// a // b of Python, b > 0.
int64_t floor_divide(int64_t a, int64_t b) { return (a - ((a % b) + b) % b) / b; }

/// Where a cut of length `target` begins, so that it lies around `centre`.
struct FaceCut {
  int64_t length, target, centre;
};

int64_t face_offset(const FaceCut& cut, const FaceCropConfig& config, int64_t jitter, PythonRandom& random) {
  int64_t begin = cut.centre - cut.target / 2;
  if (config.random_crop) {
    const int64_t range = std::max(cut.length - cut.centre, cut.centre);
    const int64_t first = random.randint(0, range);
    begin += first + random.randint(0, range) - range;
  } else if (jitter > 0) {
    begin += random.randint(floor_divide(-jitter, 20), jitter / 20);
  }
  return std::clamp<int64_t>(begin, 0, cut.length - cut.target);
}

void turn_hue(io::Image& image, double shift) {
  cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3);
  for (int64_t i = 0; i < image.width * image.height; ++i) {
    std::copy_n(image.pixels.data() + i * image.channels, 3, rgb.data + i * 3);
  }
  // The reference reads RGB as BGR here, which only turns the hue the other way.
  cv::Mat hsv;
  cv::cvtColor(rgb, hsv, cv::COLOR_BGR2HSV);
  for (int64_t i = 0; i < image.width * image.height; ++i) {
    double hue = std::fmod(hsv.data[i * 3] + shift, 180.0);
    if (hue < 0) hue += 180.0;
    hsv.data[i * 3] = static_cast<uint8_t>(hue);
  }
  cv::cvtColor(hsv, rgb, cv::COLOR_HSV2BGR);
  for (int64_t i = 0; i < image.width * image.height; ++i) {
    std::copy_n(rgb.data + i * 3, 3, image.pixels.data() + i * image.channels);
  }
}

void raise_to_power(io::Image& image, double power) {
  uint8_t table[256];
  for (int value = 0; value < 256; ++value) {
    table[value] = static_cast<uint8_t>(std::clamp(std::pow(static_cast<double>(value), power), 0.0, 255.0));
  }
  for (int64_t i = 0; i < image.width * image.height; ++i) {
    for (int channel = 0; channel < 3; ++channel) {
      uint8_t& value = image.pixels[static_cast<size_t>(i * image.channels + channel)];
      value = table[value];
    }
  }
}

}  // namespace

ResizeCrop random_crop(const BucketChoice& choice, PythonRandom& random) {
  const int64_t left = random_offset(choice.resized.width, choice.bucket.width, random);
  const int64_t top = random_offset(choice.resized.height, choice.bucket.height, random);
  return {choice.resized.width, choice.resized.height, left, top, choice.bucket.width, choice.bucket.height};
}

ResizeCrop random_crop_unresized(const Size& image, const Size& target, PythonRandom& random) {
  const int64_t top = random_offset(image.height, target.height, random);
  const int64_t left = random_offset(image.width, target.width, random);
  return {image.width, image.height, left, top, target.width, target.height};
}

std::optional<FaceBox> face_in_name(const std::string& stem) {
  const std::vector<std::string> pieces = split(stem, "_");
  if (pieces.size() < 5) return std::nullopt;
  int64_t numbers[4];
  for (size_t i = 0; i < 4; ++i) {
    const std::string& piece = pieces[pieces.size() - 4 + i];
    const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), numbers[i]);
    if (error != std::errc() || end != piece.data() + piece.size()) return std::nullopt;
  }
  if (numbers[0] <= 0 || std::max(numbers[2], numbers[3]) <= 0) return std::nullopt;
  return FaceBox{numbers[0], numbers[1], numbers[2], numbers[3]};
}

ResizeCrop crop_around_face(const Size& image, const FaceBox& face, const Size& target, const FaceCropConfig& config,
                            PythonRandom& random) {
  if (image == target) return {image.width, image.height, 0, 0, target.width, target.height};
  const auto [low, high] = config.range;
  const int64_t face_side = std::max(face.width, face.height);
  const int64_t target_side = std::min(target.width, target.height);
  const double ratio = divide(target_side, face_side);
  double smallest = std::max(divide(target.height, image.height), divide(target.width, image.width));
  smallest = std::min(1.0, std::max(smallest, ratio / high));
  const double largest = std::min(1.0, std::max(smallest, ratio / low));
  const double scale = smallest >= largest ? smallest : random.uniform(smallest, largest);

  const Size resized{scaled(image.width, scale), scaled(image.height, scale)};
  if (resized.width < target.width || resized.height < target.height) {
    throw RunError(
        fmt::format("[face crop] resized image: got {}, expected at least {}.", to_string(resized), to_string(target)));
  }
  const bool jitters = low != high && face_side > target_side / 10 && face_side >= 40;
  const int64_t jitter = jitters ? face_side : 0;
  const int64_t top =
      face_offset({resized.height, target.height, scaled(face.centre_y, scale)}, config, jitter, random);
  const int64_t left = face_offset({resized.width, target.width, scaled(face.centre_x, scale)}, config, jitter, random);
  return {resized.width, resized.height, left, top, target.width, target.height};
}

void change_colours(io::Image& image, PythonRandom& random) {
  constexpr double kProbability = 0.33;
  if (random.random() > kProbability) return;
  if (random.random() > 0.5) {
    turn_hue(image, random.uniform(-8, 8));
  } else {
    raise_to_power(image, random.uniform(0.95, 1.05));
  }
}

}  // namespace loraptor::data
