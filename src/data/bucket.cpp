// Aspect-ratio buckets.
#include "data/bucket.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "data/image_transform.h"

namespace loraptor::data {
namespace {

constexpr int64_t kMaxSide = 1'000'000'000;  // px, of an image

double ratio(const Size& size) { return static_cast<double>(size.width) / static_cast<double>(size.height); }

int64_t truncate(double value) { return static_cast<int64_t>(value); }

/// Rounds to an integer, then down to a multiple of the step.
int64_t round_to_step(double value, int64_t step) {
  const int64_t rounded = truncate(value + 0.5);
  return rounded - rounded % step;
}

/// The largest multiple of the step that is not above `value`, also for negative numbers.
int64_t floor_to_step(int64_t value, int64_t step) { return value - ((value % step) + step) % step; }

[[noreturn]] void refuse(const Size& image, std::string_view name, const BucketConfig& config) {
  throw UsageError(fmt::format(
      "[{}] image size: got {}, expected both sides to fill at least one bucket step of {} px at resolution {}.\n"
      "Hint: remove the image, enlarge or crop it, lower bucket_reso_steps, or leave bucket_no_upscale out.",
      name, to_string(image), config.step, to_string(config.resolution)));
}

BucketChoice choose_from_table(const std::vector<Size>& table, const Size& image) {
  const double aspect = ratio(image);
  auto best = std::find(table.begin(), table.end(), image);
  if (best == table.end()) {
    best = std::min_element(table.begin(), table.end(), [&](const Size& a, const Size& b) {
      return std::abs(ratio(a) - aspect) < std::abs(ratio(b) - aspect);
    });
  }
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  const double scale = aspect > ratio(*best) ? best->height / height : best->width / width;
  return {*best, {truncate(width * scale + 0.5), truncate(height * scale + 0.5)}};
}

BucketChoice choose_own_bucket(const BucketConfig& config, const Size& image, std::string_view name) {
  const double aspect = ratio(image);
  const auto area = static_cast<double>(config.resolution.width * config.resolution.height);
  Size resized = image;
  if (static_cast<double>(image.width) * static_cast<double>(image.height) > area) {
    const double target_width = std::sqrt(area * aspect);
    const double target_height = area / target_width;
    const int64_t width_1 = round_to_step(target_width, config.step);
    const int64_t height_1 = round_to_step(static_cast<double>(width_1) / aspect, config.step);
    const int64_t height_2 = round_to_step(target_height, config.step);
    const int64_t width_2 = round_to_step(static_cast<double>(height_2) * aspect, config.step);
    if (height_1 == 0 || height_2 == 0) refuse(image, name, config);
    const double ratio_1 = ratio({width_1, height_1}), ratio_2 = ratio({width_2, height_2});
    if (std::abs(ratio_1 - aspect) < std::abs(ratio_2 - aspect)) {
      resized = {width_1, truncate(static_cast<double>(width_1) / aspect + 0.5)};
    } else {
      resized = {truncate(static_cast<double>(height_2) * aspect + 0.5), height_2};
    }
  }
  const Size bucket{resized.width - resized.width % config.step, resized.height - resized.height % config.step};
  if (bucket.width == 0 || bucket.height == 0) refuse(image, name, config);
  return {bucket, resized};
}

}  // namespace

double ratio_error(const Size& bucket, const Size& image) { return ratio(bucket) - ratio(image); }

std::string to_string(const Size& size) { return fmt::format("{}x{}", size.width, size.height); }

std::optional<std::string> adjust_bucket_limits(BucketConfig& config) {
  if (!config.enabled) return std::nullopt;
  if (config.step <= 0) return fmt::format("bucket_reso_steps: got {}, expected a positive number.", config.step);
  config.min_side = floor_to_step(config.min_side, config.step);
  config.max_side = -floor_to_step(-config.max_side, config.step);
  const int64_t smaller = std::min(config.resolution.width, config.resolution.height);
  const int64_t larger = std::max(config.resolution.width, config.resolution.height);
  if (smaller < config.min_side) {
    return fmt::format("min_bucket_reso: got {}, expected at most {}, the smaller side of the resolution {}.",
                       config.min_side, smaller, to_string(config.resolution));
  }
  if (larger > config.max_side) {
    return fmt::format("max_bucket_reso: got {}, expected at least {}, the larger side of the resolution {}.",
                       config.max_side, larger, to_string(config.resolution));
  }
  return std::nullopt;
}

std::vector<Size> bucket_table(const BucketConfig& config) {
  if (!config.enabled) return {config.resolution};
  if (config.no_upscale) return {};
  const int64_t area = config.resolution.width * config.resolution.height;
  const int64_t square =
      truncate(std::sqrt(static_cast<double>(area)) / static_cast<double>(config.step)) * config.step;
  std::set<Size> sizes{{square, square}};
  for (int64_t width = std::max(config.min_side, config.step); width <= config.max_side; width += config.step) {
    const int64_t height = std::min(config.max_side, (area / width) / config.step * config.step);
    if (height < config.min_side || height == 0) continue;
    sizes.insert({width, height});
    sizes.insert({height, width});
  }
  return {sizes.begin(), sizes.end()};
}

BucketChoice choose_bucket(const BucketConfig& config, const std::vector<Size>& table, const Size& image,
                           std::string_view name) {
  if (image.width <= 0 || image.height <= 0) refuse(image, name, config);
  if (std::max(image.width, image.height) > kMaxSide) {
    throw UsageError(
        fmt::format("[{}] image size: got {}, expected sides up to {} px.", name, to_string(image), kMaxSide));
  }
  const bool own = config.enabled && config.no_upscale;
  const BucketChoice choice = own ? choose_own_bucket(config, image, name) : choose_from_table(table, image);
  if (choice.bucket.width <= 0 || choice.bucket.height <= 0) refuse(image, name, config);
  return choice;
}

ResizeCrop centre_crop(const BucketChoice& choice) {
  const int64_t left = (choice.resized.width - choice.bucket.width) / 2;
  const int64_t top = (choice.resized.height - choice.bucket.height) / 2;
  return {choice.resized.width, choice.resized.height, left, top, choice.bucket.width, choice.bucket.height};
}

std::array<double, 4> stored_crop_box(const Size& bucket, const Size& image) {
  const double image_ratio = ratio(image);
  double width = static_cast<double>(bucket.width), height = static_cast<double>(bucket.height);
  if (ratio(bucket) > image_ratio) {
    width = height * image_ratio;
  } else {
    height = width / image_ratio;
  }
  const double left = std::floor((static_cast<double>(bucket.width) - width) / 2);
  const double top = std::floor((static_cast<double>(bucket.height) - height) / 2);
  return {left, top, left + width, top + height};
}

}  // namespace loraptor::data
