// Headers out of first bytes: the same sizes as read_image_size, EXIF orientation, nothing from cut files.
#include "io/image_header.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/image.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;

std::span<const uint8_t> bytes_in(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// EXIF data with only an orientation, little or big endian.
std::string exif(char orientation, bool is_little) {
  using namespace std::string_literals;
  return is_little ? "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"s + orientation + "\0\0\0\0\0\0\0"s
                   : "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"s + orientation + "\0\0\0\0\0\0"s;
}

std::string jpeg(const std::string& exif_data) {
  const std::vector<uint8_t> plain = encode_jpeg(make_image(40, 24, 3), 80);
  std::string file(plain.begin(), plain.end());
  if (exif_data.empty()) return file;
  std::string segment = std::string("Exif\0\0", 6) + exif_data;
  segment = std::string("\xff\xe1\0", 3) + static_cast<char>(segment.size() + 2) + segment;
  return file.insert(2, segment);
}

TEST(ImageHeaderTest, SizesAreThoseOfTheWholeReader) {
  const fs::path folder = test::golden_folder() / "data/images";
  if (!fs::is_directory(folder)) GTEST_SKIP() << folder << " is missing";
  int64_t found = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::pair<int64_t, int64_t> want;
    try {
      want = read_image_size(entry.path());
    } catch (const FileError&) {
      continue;
    }
    const std::string file = read_file(entry.path());
    for (const size_t bytes : {size_t{1024}, size_t{65536}, file.size()}) {
      const auto start = bytes_in(file).first(std::min(bytes, file.size()));
      const auto header = header_in(start, start.size() == file.size());
      if (!header) continue;
      ++found;
      EXPECT_EQ(std::pair(header->width, header->height), want) << entry.path();
    }
  }
  EXPECT_GT(found, 0);
}

TEST(ImageHeaderTest, OrientationIsFoundInJpegPngAndWebp) {
  test::TempFolder folder;
  EXPECT_FALSE(header_in(bytes_in(jpeg("")), true)->is_turned);
  for (const bool is_little : {false, true}) {
    for (char orientation = 0; orientation < 10; ++orientation) {
      const std::string file = jpeg(exif(orientation, is_little));
      const auto header = header_in(bytes_in(file), true);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->is_turned, orientation >= 2 && orientation <= 8);
      EXPECT_EQ(header->width, 40);
      std::ofstream(folder.path() / "a.jpg", std::ios::binary) << file;
      EXPECT_EQ(read_image_header(folder.path() / "a.jpg").is_turned, header->is_turned);
    }
  }
  // The chunk comes before the picture; nobody looks at its checksum here.
  const std::vector<uint8_t> plain = encode_png(make_image(40, 24, 3));
  std::string png(plain.begin(), plain.end());
  EXPECT_FALSE(header_in(bytes_in(png), true)->is_turned);
  const std::string data = exif(6, false);
  png.insert(33, std::string("\0\0\0", 3) + static_cast<char>(data.size()) + "eXIf" + data + "\1\2\3\4");
  EXPECT_TRUE(header_in(bytes_in(png), true)->is_turned);
}

TEST(FormatImageHeader, CutAndDamagedFilesGiveNothingOrAHeader) {
  const std::string file = jpeg(exif(6, true));
  for (size_t bytes = 0; bytes < file.size(); ++bytes) {
    const auto header = header_in(bytes_in(file).first(bytes), false);
    if (header) {
      EXPECT_EQ(header->width, 40);
    }
  }
  for (size_t i = 0; i < std::min<size_t>(file.size(), 700); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      header_in(bytes_in(damaged), true);
    }
  }
}

}  // namespace
}  // namespace loraptor::io
