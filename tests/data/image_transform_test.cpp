// Images on their way to a bucket and to a tensor.
#include "data/image_transform.h"

#include <gtest/gtest.h>

#include "support/golden.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

io::Image pattern(int64_t width, int64_t height, int64_t channels) {
  io::Image image = io::make_image(width, height, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 31);
  return image;
}

TEST(ImageTransform, CropTakesTheNamedBox) {
  const io::Image image = pattern(7, 5, 3);
  const io::Image box = crop_image(image, 2, 1, 4, 3);
  for (int64_t y = 0; y < 3; ++y) {
    for (int64_t x = 0; x < 12; ++x) EXPECT_EQ(box.row(y)[x], image.row(y + 1)[x + 6]);
  }
  EXPECT_EQ(crop_image(image, 0, 0, 7, 5).pixels, image.pixels);
}

TEST(ImageTransform, CentreOffsetRoundsDown) {
  EXPECT_EQ(centre_crop_offset(10, 7), 1);
  EXPECT_EQ(centre_crop_offset(10, 6), 2);
  EXPECT_EQ(centre_crop_offset(6, 6), 0);
}

TEST(ImageTransform, BytesSpanMinusOneToOne) {
  const at::Tensor pixels = image_to_tensor(io::Image{2, 1, 3, {0, 255, 51, 255, 0, 204}});
  EXPECT_TRUE(
      pixels.equal(
          at::tensor({-1.0f, 1.0f, 1.0f, -1.0f, 51 / 255.0f * 2 - 1, 204 / 255.0f * 2 - 1}).reshape({3, 1, 2})) ||
      pixels.allclose(at::tensor({-1.0f, 1.0f, 1.0f, -1.0f, -0.6f, 0.6f}).reshape({3, 1, 2})));
}

TEST(ImageTransform, AlphaIsLeftOutOfTheTensor) {
  io::Image image = pattern(4, 3, 4);
  const at::Tensor pixels = image_to_tensor(image);
  for (size_t i = 3; i < image.pixels.size(); i += 4) image.pixels[i] = 0;
  EXPECT_EQ(pixels.sizes(), (std::vector<int64_t>{3, 3, 4}));
  EXPECT_TRUE(pixels.equal(image_to_tensor(image)));
}

TEST(ImageTransform, DecodedPictureIsCutToBytes) {
  const at::Tensor pixels = at::tensor({-2.0f, 0.0f, 2.0f, 1.0f, 0.999f, -1.0f}).reshape({3, 1, 2});
  const io::Image image = tensor_to_image(pixels);
  EXPECT_EQ(image.width, 2);
  EXPECT_EQ(image.height, 1);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{0, 255, 254, 127, 255, 0}));
}

TEST(GoldenImageTransform, TensorsEqualTheRecord) {
  const fs::path folder = test::golden_folder() / "data";
  if (!fs::exists(folder / "pixels.json") || !fs::exists(folder / "pixels.safetensors"))
    GTEST_SKIP() << "the golden set has no pixels";
  const auto record = test::read_golden_json(folder / "pixels.json");
  test::GoldenFile pixels(folder / "pixels.safetensors");
  if (pixels.has("vae_input.table")) {
    io::Image all = io::make_image(256, 1, 3);
    for (size_t i = 0; i < all.pixels.size(); ++i) all.pixels[i] = static_cast<uint8_t>(i / 3);
    pixels.expect_close("vae_input.table", image_to_tensor(all)[1][0], 1e-6);
  }
  for (const auto& one : record.value("resize", nlohmann::json::array())) {
    const std::string key = one["key"], file = one["file"];
    if (!pixels.has("vae_input." + key)) continue;
    const io::Image image = io::read_image(folder / "images" / file);
    const ResizeCrop geometry{one["resized"][0], one["resized"][1], one["crop_left"],
                              one["crop_top"],   one["bucket"][0],  one["bucket"][1]};
    const auto interpolation = one["interpolation"].is_null()
                                   ? io::Interpolation::automatic
                                   : io::parse_interpolation(one["interpolation"].get<std::string>(), "golden");
    const at::Tensor got = image_to_tensor(resize_and_crop(image, geometry, interpolation));
    pixels.expect_close("vae_input." + key, got, 1e-6);
    if (pixels.has("vae_input_flipped." + key)) pixels.expect_close("vae_input_flipped." + key, got.flip({2}), 1e-6);
  }
}

}  // namespace
}  // namespace loraptor::data
