// Properties of the resizing methods that hold for any image.
#include "io/image_resize.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace loraptor::io {
namespace {

constexpr Interpolation kAll[] = {Interpolation::automatic, Interpolation::lanczos, Interpolation::nearest,
                                  Interpolation::bilinear,  Interpolation::bicubic, Interpolation::area,
                                  Interpolation::box};

Image flat(int64_t width, int64_t height, const std::vector<uint8_t>& pixel) {
  Image image = make_image(width, height, static_cast<int64_t>(pixel.size()));
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = pixel[i % pixel.size()];
  return image;
}

TEST(ImageResize, NamesAreUnderstood) {
  EXPECT_EQ(parse_interpolation("lanczos", "--x"), Interpolation::lanczos);
  EXPECT_EQ(parse_interpolation("nearest", "--x"), Interpolation::nearest);
  EXPECT_EQ(parse_interpolation("bilinear", "--x"), Interpolation::bilinear);
  EXPECT_EQ(parse_interpolation("linear", "--x"), Interpolation::bilinear);
  EXPECT_EQ(parse_interpolation("bicubic", "--x"), Interpolation::bicubic);
  EXPECT_EQ(parse_interpolation("cubic", "--x"), Interpolation::bicubic);
  EXPECT_EQ(parse_interpolation("area", "--x"), Interpolation::area);
  EXPECT_EQ(parse_interpolation("box", "--x"), Interpolation::box);
}

TEST(ImageResize, UnknownNameIsAUsageError) {
  try {
    parse_interpolation("lanzcos", "--resize_interpolation");
    FAIL() << "no error";
  } catch (const UsageError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("[--resize_interpolation]"), std::string::npos) << text;
    EXPECT_NE(text.find("Did you mean 'lanczos'"), std::string::npos) << text;
  }
}

TEST(ImageResize, OneColourStaysThatColour) {
  for (const auto& pixel : {std::vector<uint8_t>{7, 200, 255}, std::vector<uint8_t>{7, 200, 255, 255}}) {
    const Image image = flat(31, 17, pixel);
    for (const Interpolation interpolation : kAll) {
      for (const auto& [width, height] : {std::pair{10, 5}, {62, 34}, {31, 5}, {10, 17}, {90, 9}, {1, 1}}) {
        const Image got = resize_image(image, width, height, interpolation);
        EXPECT_EQ(got.pixels, flat(width, height, pixel).pixels)
            << static_cast<int>(interpolation) << " to " << width << "x" << height;
      }
    }
  }
}

TEST(ImageResize, EqualSizeReturnsTheInput) {
  Image image = make_image(5, 4, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 37);
  for (const Interpolation interpolation : kAll) {
    EXPECT_EQ(resize_image(image, 5, 4, interpolation).pixels, image.pixels);
  }
}

TEST(ImageResize, InvisibleColourDoesNotBleedInLanczos) {
  Image image = flat(16, 16, {255, 0, 0, 0});
  for (int64_t y = 0; y < 16; ++y) {
    for (int64_t x = 0; x < 8; ++x) {
      uint8_t* pixel = image.row(y) + 4 * x;
      pixel[0] = 0, pixel[1] = 0, pixel[2] = 255, pixel[3] = 255;
    }
  }
  const Image got = resize_image(image, 8, 8, Interpolation::lanczos);
  for (int64_t x = 0; x < 8; ++x) {
    const uint8_t* pixel = got.row(4) + 4 * x;
    EXPECT_TRUE(pixel[3] == 0 || pixel[0] == 0) << x;
  }
}

}  // namespace
}  // namespace loraptor::io
