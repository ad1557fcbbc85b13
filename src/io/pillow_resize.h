// Pillow's resampling of 8-bit images: two passes with integer weights, each rounded to 8 bits.
#pragma once

#include "io/image.h"

namespace loraptor::io {

enum class PillowFilter { lanczos, box };

/// Resizes RGB or RGBA; when shrinking, the filter widens with the scale. RGBA is premultiplied during the resize.
/// Ref: Pillow 13.0.0 Image.resize with Resampling.LANCZOS and Resampling.BOX, reducing_gap none.
Image pillow_resize(const Image& image, int64_t width, int64_t height, PillowFilter filter);

}  // namespace loraptor::io
