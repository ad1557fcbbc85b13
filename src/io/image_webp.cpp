// WebP through libwebp; of an animation the first picture.
#include <fmt/format.h>
#include <webp/decode.h>

#include <cstring>

#include "base/error.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

const char* status_text(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA: return "the file ends too early";
    case VP8_STATUS_BITSTREAM_ERROR: return "bad bit stream";
    case VP8_STATUS_UNSUPPORTED_FEATURE: return "unsupported feature";
    case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
    default: return "decoding failed";
  }
}

void require_ok(const EncodedImage& file, VP8StatusCode status) {
  if (status == VP8_STATUS_OK) return;
  throw FileError(file.path, fmt::format("WebP file is corrupt or truncated: {}.", status_text(status)));
}

WebPBitstreamFeatures read_features(const EncodedImage& file) {
  WebPBitstreamFeatures features;
  require_ok(file, WebPGetFeatures(file.data, file.size, &features));
  checked_size(file, features.width, features.height);
  return features;
}

Image decode_still(const EncodedImage& file, AlphaMode alpha) {
  const WebPBitstreamFeatures features = read_features(file);
  WebPDecoderConfig config;
  LORAPTOR_ASSERT(WebPInitDecoderConfig(&config));
  Image image = make_image(features.width, features.height, alpha == AlphaMode::keep ? 4 : 3);
  config.output.colorspace = alpha == AlphaMode::keep ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.pixels.data();
  config.output.u.RGBA.stride = static_cast<int>(image.row_bytes());
  config.output.u.RGBA.size = image.pixels.size();
  require_ok(file, WebPDecode(file.data, file.size, &config));
  return image;
}

uint32_t little_endian(const uint8_t* data, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= uint32_t{data[i]} << (8 * i);
  return value;
}

void append_little_endian(std::vector<uint8_t>& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void append_text(std::vector<uint8_t>& to, const char* text) { to.insert(to.end(), text, text + std::strlen(text)); }

/// A still WebP file with the data of one animation frame.
std::vector<uint8_t> still_from_frame(const uint8_t* data, size_t size, uint32_t width, uint32_t height) {
  constexpr uint32_t kAlphaFlag = 0x10;
  std::vector<uint8_t> still;
  append_text(still, "RIFF");
  append_little_endian(still, static_cast<uint32_t>(4 + 18 + size), 4);
  append_text(still, "WEBPVP8X");
  append_little_endian(still, 10, 4);
  append_little_endian(still, kAlphaFlag, 4);
  append_little_endian(still, width - 1, 3);
  append_little_endian(still, height - 1, 3);
  still.insert(still.end(), data, data + size);
  return still;
}

/// Puts the first frame on a transparent canvas.
Image decode_first_frame(const EncodedImage& file, const WebPBitstreamFeatures& features) {
  constexpr size_t kFrameHeader = 16;
  for (size_t position = 12; position + 8 <= file.size;) {
    const size_t size = little_endian(file.data + position + 4, 4);
    const uint8_t* chunk = file.data + position + 8;
    require_bytes(file, position + 8 + size, "chunks");
    if (std::memcmp(file.data + position, "ANMF", 4) == 0 && size >= kFrameHeader) {
      const int64_t left = 2 * int64_t{little_endian(chunk, 3)};
      const int64_t top = 2 * int64_t{little_endian(chunk + 3, 3)};
      const uint32_t width = little_endian(chunk + 6, 3) + 1;
      const uint32_t height = little_endian(chunk + 9, 3) + 1;
      const auto still = still_from_frame(chunk + kFrameHeader, size - kFrameHeader, width, height);
      const Image frame = decode_still({file.path, still.data(), still.size()}, AlphaMode::keep);
      if (left + frame.width > features.width || top + frame.height > features.height) {
        throw FileError(file.path, position, "WebP animation: the first frame reaches beyond the canvas.");
      }
      Image canvas = make_image(features.width, features.height, 4);
      for (int64_t y = 0; y < frame.height; ++y) {
        std::copy_n(frame.row(y), frame.row_bytes(), canvas.row(top + y) + 4 * left);
      }
      return canvas;
    }
    position += 8 + size + size % 2;
  }
  throw FileError(file.path, "WebP animation: no frame found, expected at least one.");
}

}  // namespace

ImageSize webp_size(const EncodedImage& file) {
  const WebPBitstreamFeatures features = read_features(file);
  return {features.width, features.height};
}

Image decode_webp(const EncodedImage& file, AlphaMode alpha) {
  const WebPBitstreamFeatures features = read_features(file);
  if (features.has_animation) return with_alpha_mode(decode_first_frame(file, features), alpha);
  return decode_still(file, alpha);
}

}  // namespace loraptor::io
