#include "io/image.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/image_codecs.h"
#include "io/mmap_file.h"

namespace loraptor::io {
namespace {

// A JPEG XL file is a bare code stream or begins with this box.
constexpr std::string_view kJxlBox("\0\0\0\x0cJXL \r\n\x87\n", 12);

constexpr int64_t kMaxPixels = 1'000'000'000;

struct Codec {
  Image (*decode)(const EncodedImage&, AlphaMode);
  ImageSize (*size)(const EncodedImage&);
};

Codec find_codec(const EncodedImage& file) {
  if (file.size == 0) throw FileError(file.path, "image file is empty.");
  const std::string_view text(reinterpret_cast<const char*>(file.data), file.size);
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return {decode_png, png_size};
  if (text.starts_with("\xff\xd8\xff")) return {decode_jpeg, jpeg_size};
  if (text.starts_with("RIFF") && text.substr(0, 12).ends_with("WEBP")) return {decode_webp, webp_size};
  if (text.starts_with("BM")) return {decode_bmp, bmp_size};
  if (text.starts_with("GIF87a") || text.starts_with("GIF89a")) return {decode_gif, gif_size};
  if (text.starts_with("\xff\x0a") || text.starts_with(kJxlBox)) return {decode_jxl, jxl_size};
  if (is_avif(file)) return {decode_avif, avif_size};
  throw FileError(file.path,
                  fmt::format("image format: got {} bytes that begin with {:02x}, expected a PNG, JPEG, "
                              "WebP, BMP, GIF, AVIF or JPEG XL file.",
                              file.size, fmt::join(file.data, file.data + std::min<size_t>(file.size, 8), " ")));
}

}  // namespace

Image make_image(int64_t width, int64_t height, int64_t channels) {
  Image image{width, height, channels, {}};
  image.pixels.resize(static_cast<size_t>(width * height * channels));
  return image;
}

ImageSize checked_size(const EncodedImage& file, int64_t width, int64_t height) {
  if (width <= 0 || height <= 0 || width > kMaxPixels || height > kMaxPixels || width * height > kMaxPixels) {
    throw FileError(file.path,
                    fmt::format("image size: got {}x{}, expected 1 to {} pixels.", width, height, kMaxPixels));
  }
  return {width, height};
}

void require_bytes(const EncodedImage& file, size_t end, const char* what) {
  if (end <= file.size) return;
  throw FileError(
      file.path, file.size,
      fmt::format("image file is truncated in its {}: got {} bytes, expected at least {}.", what, file.size, end));
}

Image with_alpha_mode(Image image, AlphaMode alpha) {
  const int64_t channels = alpha == AlphaMode::keep ? 4 : 3;
  if (image.channels == channels) return image;
  Image result = make_image(image.width, image.height, channels);
  const uint8_t* from = image.pixels.data();
  uint8_t* to = result.pixels.data();
  for (int64_t i = 0; i < image.width * image.height; ++i, from += image.channels, to += channels) {
    std::copy(from, from + 3, to);
    if (channels == 4) to[3] = 255;
  }
  return result;
}

Image read_image(const std::filesystem::path& path, AlphaMode alpha) {
  const auto bytes = FileBytes::open(path, true);
  const EncodedImage file{path, bytes->data(), bytes->size()};
  return find_codec(file).decode(file, alpha);
}

ImageSize read_image_size(const std::filesystem::path& path) {
  // Nearly every header lies in the first bytes; reading them costs much less than mapping the file.
  std::array<uint8_t, 16384> start;
  const size_t got = read_start(path, start.data(), start.size());
  const EncodedImage beginning{path, start.data(), got};
  if (got < start.size()) return find_codec(beginning).size(beginning);
  try {
    return find_codec(beginning).size(beginning);
  } catch (const FileError&) {  // long metadata before the size
  }
  const auto bytes = FileBytes::open(path, true);
  const EncodedImage file{path, bytes->data(), bytes->size()};
  return find_codec(file).size(file);
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace loraptor::io
