// The decoders behind read_image, one pair of functions a file format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "io/image.h"

namespace loraptor::io {

/// A file's bytes, and its name for messages.
struct EncodedImage {
  const std::filesystem::path& path;
  const uint8_t* data;
  size_t size;
};

using ImageSize = std::pair<int64_t, int64_t>;  // width, height

/// Returns the size if it is one that is decoded; throws FileError for an empty picture or more than 10^9 pixels.
ImageSize checked_size(const EncodedImage& file, int64_t width, int64_t height);

/// Throws FileError unless `end` bytes are there; `what` is what would lie in them.
void require_bytes(const EncodedImage& file, size_t end, const char* what);

/// Adds an opaque alpha channel, or drops the one that is there, as `alpha` demands.
Image with_alpha_mode(Image image, AlphaMode alpha);

Image decode_png(const EncodedImage& file, AlphaMode alpha);
ImageSize png_size(const EncodedImage& file);

Image decode_jpeg(const EncodedImage& file, AlphaMode alpha);
ImageSize jpeg_size(const EncodedImage& file);

Image decode_webp(const EncodedImage& file, AlphaMode alpha);
ImageSize webp_size(const EncodedImage& file);

Image decode_bmp(const EncodedImage& file, AlphaMode alpha);
ImageSize bmp_size(const EncodedImage& file);

Image decode_gif(const EncodedImage& file, AlphaMode alpha);
ImageSize gif_size(const EncodedImage& file);

/// Whether the file's brand says AVIF.
bool is_avif(const EncodedImage& file);
Image decode_avif(const EncodedImage& file, AlphaMode alpha);
ImageSize avif_size(const EncodedImage& file);

Image decode_jxl(const EncodedImage& file, AlphaMode alpha);
ImageSize jxl_size(const EncodedImage& file);

}  // namespace loraptor::io
