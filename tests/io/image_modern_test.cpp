// AVIF and JPEG XL: pictures made by the libraries' own encoders come back; damaged files are refused.
#include <avif/avif.h>
#include <gtest/gtest.h>
#include <jxl/encode.h>

#include <fstream>

#include "base/error.h"
#include "io/image.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

Image gradient(int64_t width, int64_t height, int64_t channels) {
  Image image = make_image(width, height, channels);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width * channels; ++x) image.row(y)[x] = static_cast<uint8_t>(3 * x + 5 * y + x % channels);
  }
  return image;
}

/// Lossless: 4:4:4 with RGB stored as it is.
Bytes encode_avif(const Image& image) {
  avifImage* picture = avifImageCreate(static_cast<uint32_t>(image.width), static_cast<uint32_t>(image.height), 8,
                                       AVIF_PIXEL_FORMAT_YUV444);
  picture->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_IDENTITY;
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, picture);
  rgb.format = image.channels == 4 ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
  rgb.pixels = const_cast<uint8_t*>(image.pixels.data());
  rgb.rowBytes = static_cast<uint32_t>(image.row_bytes());
  EXPECT_EQ(avifImageRGBToYUV(picture, &rgb), AVIF_RESULT_OK);
  avifEncoder* encoder = avifEncoderCreate();
  encoder->speed = AVIF_SPEED_FASTEST;
  encoder->minQuantizer = encoder->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
  encoder->minQuantizerAlpha = encoder->maxQuantizerAlpha = AVIF_QUANTIZER_LOSSLESS;
  avifRWData output = AVIF_DATA_EMPTY;
  EXPECT_EQ(avifEncoderWrite(encoder, picture, &output), AVIF_RESULT_OK);
  Bytes bytes(output.data, output.data + output.size);
  avifRWDataFree(&output);
  avifEncoderDestroy(encoder);
  avifImageDestroy(picture);
  return bytes;
}

/// Lossless; in a box file or as a bare code stream.
Bytes encode_jxl(const Image& image, bool boxes) {
  JxlEncoder* encoder = JxlEncoderCreate(nullptr);
  JxlBasicInfo info;
  JxlEncoderInitBasicInfo(&info);
  info.xsize = static_cast<uint32_t>(image.width);
  info.ysize = static_cast<uint32_t>(image.height);
  info.bits_per_sample = 8;
  info.num_color_channels = 3;
  info.uses_original_profile = JXL_TRUE;
  if (image.channels == 4) info.num_extra_channels = 1, info.alpha_bits = 8;
  EXPECT_EQ(JxlEncoderUseContainer(encoder, boxes ? JXL_TRUE : JXL_FALSE), JXL_ENC_SUCCESS);
  EXPECT_EQ(JxlEncoderSetBasicInfo(encoder, &info), JXL_ENC_SUCCESS);
  JxlColorEncoding colour;
  JxlColorEncodingSetToSRGB(&colour, JXL_FALSE);
  EXPECT_EQ(JxlEncoderSetColorEncoding(encoder, &colour), JXL_ENC_SUCCESS);
  JxlEncoderFrameSettings* settings = JxlEncoderFrameSettingsCreate(encoder, nullptr);
  EXPECT_EQ(JxlEncoderSetFrameLossless(settings, JXL_TRUE), JXL_ENC_SUCCESS);
  const JxlPixelFormat format{static_cast<uint32_t>(image.channels), JXL_TYPE_UINT8, JXL_NATIVE_ENDIAN, 0};
  EXPECT_EQ(JxlEncoderAddImageFrame(settings, &format, image.pixels.data(), image.pixels.size()), JXL_ENC_SUCCESS);
  JxlEncoderCloseInput(encoder);
  Bytes bytes(1 << 20);
  uint8_t* next = bytes.data();
  size_t left = bytes.size();
  EXPECT_EQ(JxlEncoderProcessOutput(encoder, &next, &left), JXL_ENC_SUCCESS);
  bytes.resize(bytes.size() - left);
  JxlEncoderDestroy(encoder);
  return bytes;
}

void write_bytes(const fs::path& path, const Bytes& bytes, size_t count) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(count));
}

struct Kind {
  const char* name;
  Bytes (*encode)(const Image&);
};

const Kind kKinds[] = {{"AVIF", encode_avif},
                       {"JPEG XL", [](const Image& image) { return encode_jxl(image, false); }},
                       {"JPEG XL", [](const Image& image) { return encode_jxl(image, true); }}};

TEST(ImageModern, pictures_and_their_sizes_come_back) {
  const test::TempFolder folder;
  for (const Kind& kind : kKinds) {
    for (const int64_t channels : {3, 4}) {
      const Image image = gradient(45, 31, channels);
      const Bytes bytes = kind.encode(image);
      write_bytes(folder / "a", bytes, bytes.size());
      const Image got = read_image(folder / "a", channels == 4 ? AlphaMode::keep : AlphaMode::drop);
      EXPECT_EQ(got.channels, channels);
      EXPECT_EQ(got.pixels, image.pixels) << kind.name;
      EXPECT_EQ(read_image_size(folder / "a"), (std::pair<int64_t, int64_t>{45, 31})) << kind.name;
    }
  }
}

TEST(ImageModern, alpha_is_added_and_dropped) {
  const test::TempFolder folder;
  for (const Kind& kind : kKinds) {
    const Bytes opaque = kind.encode(Image{1, 1, 3, {10, 20, 30}});
    write_bytes(folder / "a", opaque, opaque.size());
    EXPECT_EQ(read_image(folder / "a", AlphaMode::keep).pixels, (Bytes{10, 20, 30, 255})) << kind.name;
    const Bytes clear = kind.encode(Image{1, 1, 4, {10, 20, 30, 7}});
    write_bytes(folder / "b", clear, clear.size());
    EXPECT_EQ(read_image(folder / "b", AlphaMode::drop).pixels, (Bytes{10, 20, 30})) << kind.name;
  }
}

TEST(FormatImageModern, cut_files_are_refused_by_name) {
  const test::TempFolder folder;
  for (const Kind& kind : kKinds) {
    const Bytes bytes = kind.encode(gradient(45, 31, 3));
    for (const size_t share : {1, 3, 5, 7, 9}) {
      write_bytes(folder / "cut", bytes, bytes.size() * share / 10);
      try {
        read_image(folder / "cut");
        ADD_FAILURE() << kind.name << " cut to " << share << "/10 was read";
      } catch (const FileError& error) {
        EXPECT_NE(std::string(error.what()).find("cut"), std::string::npos);
      }
    }
  }
}

TEST(ImageModern, jpeg_previews_can_be_read) {
  const test::TempFolder folder;
  Image image = make_image(40, 24, 4);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = i % 4 == 0 ? 200 : 90;
  const Bytes bytes = encode_jpeg(image, 90);
  write_bytes(folder / "a.jpg", bytes, bytes.size());
  const Image got = read_image(folder / "a.jpg");
  ASSERT_EQ(got.width, 40);
  EXPECT_NEAR(got.row(12)[3 * 20], 200, 4);
  EXPECT_NEAR(got.row(12)[3 * 20 + 1], 90, 4);
}

}  // namespace
}  // namespace loraptor::io
