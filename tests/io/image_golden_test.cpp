// Decoded and resized pixels against the record of Pillow and OpenCV.
#include <gtest/gtest.h>

#include "io/image.h"
#include "io/image_resize.h"
#include "support/golden.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;

fs::path data_folder() { return test::golden_folder() / "data"; }

bool has_record() {
  return fs::exists(data_folder() / "pixels.json") && fs::exists(data_folder() / "pixels.safetensors");
}

/// [H,W,C], a view of the image.
at::Tensor to_tensor(const Image& image) {
  return at::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width, image.channels},
                       at::kByte);
}

Image from_tensor(const at::Tensor& tensor) {
  Image image = make_image(tensor.size(1), tensor.size(0), tensor.size(2));
  to_tensor(image).copy_(tensor);
  return image;
}

AlphaMode alpha_mode(const std::string& mode) { return mode == "rgba" ? AlphaMode::keep : AlphaMode::drop; }

/// Pillow makes such files nearly white, which is not repeated (see ImageTest.WideGreyIsShifted).
bool is_wide_grey(const nlohmann::json& facts) { return facts["pillow_mode"].get<std::string>().starts_with("I;16"); }

/// One recorded decode: shape, three pixels, and all pixels where the file has them.
void check_decode(test::GoldenFile& pixels, const std::string& file, const std::string& mode,
                  const nlohmann::json& want) {
  const Image image = read_image(data_folder() / "images" / file, alpha_mode(mode));
  const at::Tensor got = to_tensor(image);
  ASSERT_EQ(got.sizes().vec(), want["shape"].get<std::vector<int64_t>>());
  const auto expect_pixel = [&](const char* name, int64_t y, int64_t x) {
    const uint8_t* pixel = image.row(y) + x * image.channels;
    EXPECT_EQ(std::vector<int>(pixel, pixel + image.channels), want[name].get<std::vector<int>>()) << name;
  };
  expect_pixel("first", 0, 0);
  expect_pixel("centre", image.height / 2, image.width / 2);
  expect_pixel("last", image.height - 1, image.width - 1);
  const std::string key = "decode." + file + "." + mode;
  if (pixels.has(key)) pixels.expect_close(key, got, 0);
  if (want.value("all_opaque", false)) {
    EXPECT_TRUE(got.select(2, 3).eq(255).all().item<bool>());
  }
}

TEST(GoldenImages, DecodedPixelsAreEqual) {
  if (!has_record()) GTEST_SKIP() << "the golden set has no pixels";
  const auto record = test::read_golden_json(data_folder() / "pixels.json");
  test::GoldenFile pixels(data_folder() / "pixels.safetensors");
  const auto images = record.value("images", nlohmann::json::object());
  for (const auto& [file, facts] : images.items()) {
    if (!fs::exists(data_folder() / "images" / file)) continue;
    SCOPED_TRACE(file);
    test::mark_golden_read(data_folder() / "images" / file);
    const auto [width, height] = read_image_size(data_folder() / "images" / file);
    EXPECT_EQ((std::vector<int64_t>{width, height}), facts["size"].get<std::vector<int64_t>>());
    if (is_wide_grey(facts)) continue;
    for (const std::string mode : {"rgb", "rgba"}) {
      SCOPED_TRACE(mode);
      if (facts.contains(mode)) check_decode(pixels, file, mode, facts[mode]);
    }
  }
}

/// Cubic: OpenCV builds differ by one in a few values (IPP against integer weights).
void expect_cubic(const std::string& key, const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor difference = (got.to(at::kInt) - want.to(at::kInt)).abs();
  EXPECT_LE(difference.max().item<int>(), 1) << key;
  EXPECT_LE(difference.ne(0).to(at::kDouble).mean().item<double>(), 0.06) << key;
}

TEST(GoldenResize, ResizedAndCroppedPixelsAreEqual) {
  if (!has_record()) GTEST_SKIP() << "the golden set has no pixels";
  const auto record = test::read_golden_json(data_folder() / "pixels.json");
  test::GoldenFile pixels(data_folder() / "pixels.safetensors");
  const auto images = record.value("images", nlohmann::json::object());
  for (const auto& one : record.value("resize", nlohmann::json::array())) {
    const std::string key = one["key"], file = one["file"], mode = one["mode"];
    if (!pixels.has(key)) continue;
    SCOPED_TRACE(key);
    const bool wide_grey = images.contains(file) && is_wide_grey(images[file]);
    const Image image = wide_grey ? from_tensor(pixels["decode." + file + "." + mode])
                                  : read_image(data_folder() / "images" / file, alpha_mode(mode));
    const bool automatic = one["interpolation"].is_null();
    const Interpolation interpolation =
        automatic ? Interpolation::automatic : parse_interpolation(one["interpolation"].get<std::string>(), "golden");
    const Image resized = resize_image(image, one["resized"][0], one["resized"][1], interpolation);
    const at::Tensor got =
        to_tensor(resized).narrow(0, one["crop_top"], one["bucket"][1]).narrow(1, one["crop_left"], one["bucket"][0]);
    if (interpolation == Interpolation::bicubic) {
      ASSERT_EQ(got.sizes(), pixels[key].sizes());
      expect_cubic(key, got, pixels[key]);
      continue;
    }
    pixels.expect_close(key, got, 0);
  }
}

}  // namespace
}  // namespace loraptor::io
