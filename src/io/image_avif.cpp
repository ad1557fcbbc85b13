// AVIF through libavif; of a sequence the first picture.
#include <avif/avif.h>
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

using AvifDecoder = std::unique_ptr<avifDecoder, void (*)(avifDecoder*)>;

void require_ok(const EncodedImage& file, avifResult result) {
  if (result == AVIF_RESULT_OK) return;
  throw FileError(file.path, fmt::format("AVIF file is corrupt or truncated: {}.", avifResultToString(result)));
}

/// A decoder that has read the header.
AvifDecoder open_avif(const EncodedImage& file) {
  AvifDecoder decoder(avifDecoderCreate(), avifDecoderDestroy);
  LORAPTOR_ASSERT(decoder != nullptr);
  // Files of old encoders lack properties that the standard demands; Pillow reads them too.
  decoder->strictFlags = AVIF_STRICT_ENABLED & ~(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
  decoder->maxThreads = 1;  // images are loaded by several threads already
  decoder->ignoreExif = decoder->ignoreXMP = AVIF_TRUE;
  require_ok(file, avifDecoderSetIOMemory(decoder.get(), file.data, file.size));
  require_ok(file, avifDecoderParse(decoder.get()));
  checked_size(file, decoder->image->width, decoder->image->height);
  return decoder;
}

}  // namespace

bool is_avif(const EncodedImage& file) {
  const avifROData data{file.data, file.size};
  return avifPeekCompatibleFileType(&data) == AVIF_TRUE;
}

ImageSize avif_size(const EncodedImage& file) {
  const AvifDecoder decoder = open_avif(file);
  return {decoder->image->width, decoder->image->height};
}

Image decode_avif(const EncodedImage& file, AlphaMode alpha) {
  const AvifDecoder decoder = open_avif(file);
  require_ok(file, avifDecoderNextImage(decoder.get()));
  // Always with alpha: asked for RGB alone, libavif puts the picture on black.
  Image image = make_image(decoder->image->width, decoder->image->height, 4);
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, decoder->image);
  rgb.format = AVIF_RGB_FORMAT_RGBA;
  rgb.depth = 8;
  rgb.pixels = image.pixels.data();
  rgb.rowBytes = static_cast<uint32_t>(image.row_bytes());
  require_ok(file, avifImageYUVToRGB(decoder->image, &rgb));
  return with_alpha_mode(std::move(image), alpha);
}

}  // namespace loraptor::io
