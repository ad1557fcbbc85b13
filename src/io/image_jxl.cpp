// JPEG XL through libjxl; of an animation the first picture.
#include <fmt/format.h>
#include <jxl/decode.h>

#include <memory>

#include "base/error.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

using JxlDecoderPtr = std::unique_ptr<JxlDecoder, void (*)(JxlDecoder*)>;

JxlDecoderPtr open_jxl(const EncodedImage& file, int events) {
  JxlDecoderPtr decoder(JxlDecoderCreate(nullptr), JxlDecoderDestroy);
  LORAPTOR_ASSERT(decoder != nullptr);
  LORAPTOR_ASSERT(JxlDecoderSubscribeEvents(decoder.get(), events) == JXL_DEC_SUCCESS);
  // Turned pictures stay as they are stored, like those of all other kinds.
  LORAPTOR_ASSERT(JxlDecoderSetKeepOrientation(decoder.get(), JXL_TRUE) == JXL_DEC_SUCCESS);
  LORAPTOR_ASSERT(JxlDecoderSetInput(decoder.get(), file.data, file.size) == JXL_DEC_SUCCESS);
  JxlDecoderCloseInput(decoder.get());
  return decoder;
}

void require_event(const EncodedImage& file, JxlDecoder* decoder, JxlDecoderStatus event) {
  const JxlDecoderStatus got = JxlDecoderProcessInput(decoder);
  if (got == event) return;
  throw FileError(file.path, fmt::format("JPEG XL file is corrupt or truncated: {}.",
                                         got == JXL_DEC_NEED_MORE_INPUT ? "the file ends too early" : "bad data"));
}

ImageSize read_size(const EncodedImage& file, JxlDecoder* decoder) {
  require_event(file, decoder, JXL_DEC_BASIC_INFO);
  JxlBasicInfo info;
  LORAPTOR_ASSERT(JxlDecoderGetBasicInfo(decoder, &info) == JXL_DEC_SUCCESS);
  return checked_size(file, info.xsize, info.ysize);
}

}  // namespace

ImageSize jxl_size(const EncodedImage& file) { return read_size(file, open_jxl(file, JXL_DEC_BASIC_INFO).get()); }

Image decode_jxl(const EncodedImage& file, AlphaMode alpha) {
  const JxlDecoderPtr decoder = open_jxl(file, JXL_DEC_BASIC_INFO | JXL_DEC_FULL_IMAGE);
  const auto [width, height] = read_size(file, decoder.get());
  const JxlPixelFormat format{alpha == AlphaMode::keep ? 4u : 3u, JXL_TYPE_UINT8, JXL_NATIVE_ENDIAN, 0};
  require_event(file, decoder.get(), JXL_DEC_NEED_IMAGE_OUT_BUFFER);
  Image image = make_image(width, height, format.num_channels);
  if (JxlDecoderSetImageOutBuffer(decoder.get(), &format, image.pixels.data(), image.pixels.size()) !=
      JXL_DEC_SUCCESS) {
    throw FileError(file.path, "JPEG XL picture cannot be given as 8-bit RGB.");
  }
  require_event(file, decoder.get(), JXL_DEC_FULL_IMAGE);
  return image;
}

}  // namespace loraptor::io
