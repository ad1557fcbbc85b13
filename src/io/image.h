// 8-bit images in memory, read from PNG, JPEG, WebP, BMP, GIF, AVIF and JPEG XL files and written as PNG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

namespace loraptor::io {

/// Interleaved pixels, rows from the top, no padding: RGB (3 channels) or RGBA (4, alpha not premultiplied).
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;
  std::vector<uint8_t> pixels;  // height * width * channels

  size_t row_bytes() const { return static_cast<size_t>(width * channels); }
  uint8_t* row(int64_t y) { return pixels.data() + static_cast<size_t>(y) * row_bytes(); }
  const uint8_t* row(int64_t y) const { return pixels.data() + static_cast<size_t>(y) * row_bytes(); }
};

/// An image of that size, all zeros.
Image make_image(int64_t width, int64_t height, int64_t channels);

/// drop: RGB, alpha left out without compositing. keep: RGBA, opaque where the file has no alpha.
enum class AlphaMode { drop, keep };

/// Reads an image file of a kind told by its content, not by its name.
/// Conversion follows Pillow's convert("RGB") and convert("RGBA"): palettes and grey expanded (tRNS is alpha), CMYK by
/// the simple formula, of an animation the first picture, no rotation by EXIF, no colour management. 16 bits become 8
/// by v >> 8; for grey files, which Pillow saturates to white, a warning says so once.
/// Throws FileError naming the file if it is missing, empty, truncated, corrupt, of another kind or larger than
/// 10^9 pixels. Ref: sd-scripts@48d368f library/train_util.py:load_image.
Image read_image(const std::filesystem::path& path, AlphaMode alpha = AlphaMode::drop);

/// Width and height from the file's header alone, equal to those of `read_image`. Throws FileError.
/// Ref: sd-scripts@48d368f library/train_util.py:BaseDataset.get_image_size (without its off-by-one for WebP).
std::pair<int64_t, int64_t> read_image_size(const std::filesystem::path& path);

/// The bytes of a JPEG file (alpha left out), for previews.
///   quality   1 to 100
std::vector<uint8_t> encode_jpeg(const Image& image, int quality);

/// The bytes of a PNG file, 8 bits a channel.
std::vector<uint8_t> encode_png(const Image& image);

/// Writes a PNG file atomically. Throws FileError.
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace loraptor::io
