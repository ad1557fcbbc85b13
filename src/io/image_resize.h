// Resizing of 8-bit images, value for value as the reference's libraries do it.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/image.h"

namespace loraptor::io {

/// automatic: area if no side grows, else lanczos.
enum class Interpolation { automatic, lanczos, nearest, bilinear, bicubic, area, box };

/// lanczos, nearest, bilinear, linear, bicubic, cubic, area, box. Throws UsageError naming `where` otherwise.
///   where   flag or TOML key that held the name
Interpolation parse_interpolation(std::string_view name, std::string_view where);

/// Resizes to width x height; an image that has this size already is returned as it is.
/// lanczos and box are Pillow's (RGBA premultiplied meanwhile), the others OpenCV's: INTER_AREA, INTER_LINEAR,
/// INTER_CUBIC, INTER_NEAREST_EXACT of 4.10 (RGBA channels independent).
/// Ref: sd-scripts@48d368f library/utils.py:resize_image.
Image resize_image(const Image& image, int64_t width, int64_t height, Interpolation interpolation);

}  // namespace loraptor::io
