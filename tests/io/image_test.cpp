// Reading and writing image files: round trips, odd kinds, and files that must be refused.
#include "io/image.h"

#include <gtest/gtest.h>
#include <png.h>

#include <fstream>
#include <map>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;

Image pattern(int64_t width, int64_t height, int64_t channels) {
  Image image = make_image(width, height, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * i * 7 + i * 13);
  return image;
}

/// A photograph of the golden folder; skips the test where there is none.
#define NEEDS_IMAGE(variable, name)                                         \
  const fs::path variable = test::golden_folder() / "data/images" / (name); \
  if (!fs::exists(variable)) GTEST_SKIP() << variable << " is missing"

/// Without waiting for the disk: write_file flushes, and so do file systems when a file is overwritten.
void write_quickly(const fs::path& path, std::string_view bytes) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string refusal(const fs::path& path) {
  try {
    read_image(path);
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

/// A PNG file of any colour type and depth from its raw rows (without filter bytes).
void write_raw_png(const fs::path& path, uint32_t width, uint32_t height, int depth, int type,
                   const std::vector<uint8_t>& rows) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file);
  png_set_IHDR(png, info, width, height, depth, type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (uint32_t y = 0; y < height; ++y) png_write_row(png, rows.data() + y * rows.size() / height);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  std::fclose(file);
}

TEST(ImageTest, PngComesBack) {
  const test::TempFolder folder;
  for (const int64_t channels : {3, 4}) {
    const Image image = pattern(37, 23, channels);
    write_png(folder / "a.png", image);
    const Image got = read_image(folder / "a.png", channels == 4 ? AlphaMode::keep : AlphaMode::drop);
    EXPECT_EQ(got.width, 37);
    EXPECT_EQ(got.height, 23);
    EXPECT_EQ(got.channels, channels);
    EXPECT_EQ(got.pixels, image.pixels);
    EXPECT_EQ(read_image_size(folder / "a.png"), (std::pair<int64_t, int64_t>{37, 23}));
  }
}

TEST(ImageTest, AlphaIsDroppedWithoutCompositing) {
  const test::TempFolder folder;
  write_png(folder / "a.png", Image{1, 1, 4, {10, 20, 30, 0}});
  EXPECT_EQ(read_image(folder / "a.png").pixels, (std::vector<uint8_t>{10, 20, 30}));
}

TEST(ImageTest, OpaqueAlphaIsAdded) {
  const test::TempFolder folder;
  write_png(folder / "a.png", Image{1, 1, 3, {10, 20, 30}});
  EXPECT_EQ(read_image(folder / "a.png", AlphaMode::keep).pixels, (std::vector<uint8_t>{10, 20, 30, 255}));
}

TEST(ImageTest, WideGreyIsShifted) {
  const test::TempFolder folder;
  write_raw_png(folder / "a.png", 3, 1, 16, PNG_COLOR_TYPE_GRAY, {0x00, 0xff, 0x80, 0x01, 0xff, 0xff});
  EXPECT_EQ(read_image(folder / "a.png").pixels, (std::vector<uint8_t>{0, 0, 0, 128, 128, 128, 255, 255, 255}));
}

TEST(ImageTest, WideColourAndGreyAlphaAreShifted) {
  const test::TempFolder folder;
  write_raw_png(folder / "a.png", 1, 1, 16, PNG_COLOR_TYPE_RGB, {1, 255, 2, 255, 3, 255});
  EXPECT_EQ(read_image(folder / "a.png").pixels, (std::vector<uint8_t>{1, 2, 3}));
  write_raw_png(folder / "a.png", 1, 1, 16, PNG_COLOR_TYPE_GRAY_ALPHA, {1, 255, 2, 255});
  EXPECT_EQ(read_image(folder / "a.png", AlphaMode::keep).pixels, (std::vector<uint8_t>{1, 1, 1, 2}));
}

TEST(ImageTest, SmallGreyDepthsAreStretched) {
  const test::TempFolder folder;
  write_raw_png(folder / "a.png", 4, 1, 2, PNG_COLOR_TYPE_GRAY, {0b00011011});
  EXPECT_EQ(read_image(folder / "a.png").pixels,
            (std::vector<uint8_t>{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
}

TEST(ImageTest, KindIsToldByContentNotByName) {
  NEEDS_IMAGE(photograph, "baseline420.jpg");
  const test::TempFolder folder;
  fs::copy_file(photograph, folder / "a.png");
  EXPECT_EQ(read_image(folder / "a.png").pixels, read_image(photograph).pixels);
}

TEST(ImageTest, BmpBitMasksAreRead) {
  const test::TempFolder folder;
  std::string bmp("BM\0\0\0\0\0\0\0\0\x42\0\0\0\x28\0\0\0\x02\0\0\0\xff\xff\xff\xff\x01\0\x10\0\x03\0\0\0", 34);
  bmp += std::string(20, '\0');
  bmp += std::string("\x00\xf8\0\0\xe0\x07\0\0\x1f\0\0\0", 12);
  bmp += std::string("\x00\xf8\x1f\x00", 4);  // red, blue
  write_quickly(folder / "a.bmp", bmp);
  EXPECT_EQ(read_image(folder / "a.bmp").pixels, (std::vector<uint8_t>{255, 0, 0, 0, 0, 255}));
  EXPECT_EQ(read_image_size(folder / "a.bmp"), (std::pair<int64_t, int64_t>{2, 1}));
}

/// A BMP of 5 x 3 pixels with a palette of greys (entry i: 10 i), whose pixels are stored as runs.
std::string bmp_of_runs(char bits, const std::string& runs) {
  std::string bmp("BM\0\0\0\0\0\0\0\0\x76\0\0\0\x28\0\0\0\x05\0\0\0\x03\0\0\0\x01\0", 28);
  bmp += std::string{bits, '\0', bits == 8 ? '\1' : '\2'} + std::string(3 + 12, '\0');
  bmp += std::string("\x10\0\0\0\0\0\0\0", 8);  // 16 colours
  for (char i = 0; i < 16; ++i)
    bmp += std::string{static_cast<char>(10 * i), static_cast<char>(10 * i), static_cast<char>(10 * i), '\0'};
  return bmp + runs;
}

TEST(ImageTest, BmpRunsAreRead) {
  const test::TempFolder folder;
  // Bottom row: a run; middle: literal pixels, filled up; top: one pixel skipped, then a run that is cut off.
  const std::map<std::string, std::string> files{
      {"8.bmp", bmp_of_runs(8, std::string("\5\1\0\0\0\3\2\3\4\0\2\5\0\0\0\2\1\0\x09\6\0\1", 22))},
      {"4.bmp", bmp_of_runs(4, std::string("\5\x11\0\0\0\3\x23\x40\2\x55\0\0\0\2\1\0\x09\x66\0\1", 20))}};
  for (const auto& [name, bytes] : files) {
    SCOPED_TRACE(name);
    write_quickly(folder / name, bytes);
    const Image image = read_image(folder / name);
    std::vector<int> values;
    for (size_t i = 0; i < image.pixels.size(); i += 3) values.push_back(image.pixels[i] / 10);
    EXPECT_EQ(values, (std::vector<int>{0, 6, 6, 6, 6, 2, 3, 4, 5, 5, 1, 1, 1, 1, 1}));
    write_quickly(folder / name, bytes.substr(0, bytes.size() - 6));
    EXPECT_NE(refusal(folder / name).find("runs of pixels"), std::string::npos) << refusal(folder / name);
  }
}

TEST(FormatImages, UnusableFilesAreRefused) {
  const test::TempFolder folder;
  EXPECT_NE(refusal(folder / "missing.png").find("cannot be opened"), std::string::npos);
  write_quickly(folder / "a.png", "");
  EXPECT_NE(refusal(folder / "a.png").find("image file is empty"), std::string::npos);
  write_quickly(folder / "a.png", "a caption");
  EXPECT_NE(refusal(folder / "a.png").find("expected a PNG, JPEG, WebP, BMP, GIF, AVIF or JPEG XL file"),
            std::string::npos);
  EXPECT_NE(refusal(folder / "a.png").find("a.png"), std::string::npos);
}

TEST(FormatImages, BombsAreRefusedBeforeDecoding) {
  const test::TempFolder folder;
  const std::vector<uint8_t> small = encode_png(pattern(2, 2, 3));
  std::string bytes(small.begin(), small.end());
  bytes.replace(16, 8, std::string("\0\1\0\0\0\1\0\0", 8));  // 65536 x 65536
  write_quickly(folder / "a.png", bytes);
  EXPECT_NE(refusal(folder / "a.png").find("got 65536x65536"), std::string::npos) << refusal(folder / "a.png");
  EXPECT_THROW(read_image_size(folder / "a.png"), FileError);
  bytes.replace(16, 8, std::string("\0\0\0\0\0\0\0\1", 8));
  write_quickly(folder / "a.png", bytes);
  EXPECT_NE(refusal(folder / "a.png").find("got 0x1"), std::string::npos) << refusal(folder / "a.png");
}

/// Bytes at the end of a file that no pixel depends on.
size_t dispensable_tail(const std::string& extension) {
  if (extension == ".png") return 12;  // the IEND chunk
  if (extension == ".gif") return 2;   // end of data and trailer
  return extension == ".bmp" ? 3 : 1;  // BMP: padding of the last row; WebP: padding of the chunk
}

TEST(FormatImages, CutFilesAreRefused) {
  const test::TempFolder folder;
  int files = 0;
  for (const auto& path : test::golden_files("data/images", "", "")) {
    const std::string whole = read_file(path);
    const size_t longest = whole.size() - dispensable_tail(path.extension());
    for (size_t part = 0; part < 60; ++part) {
      const size_t size = part < 40 ? longest * part / 40 : longest - 1 - (part - 40);
      write_quickly(folder / "cut", std::string_view(whole).substr(0, size));
      const std::string text = refusal(folder / "cut");
      EXPECT_NE(text, "") << path << ": " << size << " of " << whole.size() << " bytes";
      EXPECT_NE(text.find("cut"), std::string::npos);
    }
    ++files;
  }
  if (files == 0) GTEST_SKIP() << "no golden images";
}

TEST(FormatImages, DamagedFilesNeverCrash) {
  log::LogConfig quiet;
  quiet.level = log::Level::error;
  log::configure(quiet);
  const test::TempFolder folder;
  uint32_t state = 1;
  const auto draw = [&](size_t limit) {
    state = state * 1664525u + 1013904223u;
    return static_cast<size_t>(state >> 8) % limit;
  };
  for (const auto& path : test::golden_files("data/images", "", "")) {
    const std::string whole = read_file(path);
    for (int round = 0; round < 40; ++round) {
      std::string damaged = whole;
      for (int i = 0; i < 4; ++i)
        damaged[draw(round % 2 ? std::min<size_t>(whole.size(), 64) : whole.size())] ^= 1 << draw(8);
      write_quickly(folder / "damaged", damaged);
      try {
        const Image image = read_image(folder / "damaged", AlphaMode::keep);
        EXPECT_EQ(image.pixels.size(), image.row_bytes() * static_cast<size_t>(image.height));
      } catch (const FileError&) {
      }
    }
  }
  log::configure({});
}

}  // namespace
}  // namespace loraptor::io
