// Random crops, face crops, colours and masks against the reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "data/augment.h"
#include "data/batch.h"
#include "data/golden_size.h"
#include "data/image_transform.h"
#include "data/working_folder.h"
#include "support/golden.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

json augment_cases(const std::string& name) { return test::list_of(test::golden_data("augment.json"), name); }

void expect_crop(const ResizeCrop& got, const json& want) {
  EXPECT_EQ((Size{got.resized_width, got.resized_height}), size_of(want["resized"]));
  EXPECT_EQ(json({got.crop_left, got.crop_top, got.crop_left + got.width, got.crop_top + got.height}), want["box"]);
}

TEST(GoldenAugment, face_crops_equal_the_reference) {
  for (const json& entry : augment_cases("face_crop")) {
    SCOPED_TRACE(entry.dump());
    PythonRandom random(entry["seed"].get<int64_t>());
    const auto numbers = entry["face_cx_cy_w_h"].get<std::vector<int64_t>>();
    const FaceBox face{numbers[0], numbers[1], numbers[2], numbers[3]};
    const FaceCropConfig config{{entry["range"][0].get<double>(), entry["range"][1].get<double>()},
                                entry["random_crop"].get<bool>()};
    expect_crop(crop_around_face(size_of(entry["image"]), face, size_of(entry["target"]), config, random), entry);
    EXPECT_EQ(random.random(), entry["next_random"].get<double>());
  }
}

TEST(GoldenAugment, random_crops_equal_the_reference) {
  for (const json& entry : augment_cases("random_crop")) {
    SCOPED_TRACE(entry.dump());
    PythonRandom random(entry["seed"].get<int64_t>());
    expect_crop(random_crop({size_of(entry["bucket"]), size_of(entry["resized"])}, random), entry);
    EXPECT_EQ(random.random(), entry["next_random"].get<double>());
  }
}

at::Tensor bytes_of(const io::Image& image) {
  return at::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width, image.channels},
                       at::kByte)
      .clone();
}

TEST(GoldenAugment, colours_equal_the_reference) {
  const json cases = augment_cases("colour");
  if (cases.empty()) GTEST_SKIP() << "the golden set has no augment.json";
  test::GoldenFile tensors(test::golden_folder() / "data" / "augment.safetensors");
  for (const json& entry : cases) {
    SCOPED_TRACE(entry.dump());
    PythonRandom random(entry["seed"].get<int64_t>());
    const io::Image original =
        io::read_image(test::golden_folder() / "data" / "images" / entry["image"].get<std::string>());
    io::Image image = original;
    change_colours(image, random);
    EXPECT_EQ(random.random(), entry["next_random"].get<double>());
    if (entry["kind"] == "none") {
      EXPECT_EQ(image.pixels, original.pixels);
    } else {
      // Hue goes through OpenCV's 8-bit conversion, whose builds differ by one.
      tensors.expect_close(entry["key"].get<std::string>(), bytes_of(image), entry["kind"] == "hue" ? 1 : 0);
    }
  }
}

TEST(GoldenMasks, alpha_and_mask_images_equal_the_reference) {
  const json file = test::golden_data("pixels.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no pixels.json";
  test::GoldenFile tensors(test::golden_folder() / "data" / "pixels.safetensors");
  std::map<std::string, json> resizes;
  for (const json& entry : test::list_of(file, "resize")) resizes[entry["key"].get<std::string>()] = entry;
  for (const json& mask : test::list_of(file, "masks")) {
    SCOPED_TRACE(mask.dump());
    const json& resize = resizes.at(mask["from"].get<std::string>());
    const io::Image image = io::read_image(
        test::golden_folder() / "data" / "images" / resize["file"].get<std::string>(), io::AlphaMode::keep);
    const BucketChoice choice{size_of(resize["bucket"]), size_of(resize["resized"])};
    const io::Interpolation interpolation =
        resize["interpolation"].is_null() ? io::Interpolation::automatic
                                          : io::parse_interpolation(resize["interpolation"].get<std::string>(), "case");
    const io::Image cut = resize_and_crop(image, centre_crop(choice), interpolation);
    const at::Tensor alpha = bytes_of(cut).select(2, 3).to(at::kFloat) / 255;  // [H,W,4] -> [H,W]
    const auto key = mask["key"].get<std::string>();
    if (!tensors.has(key + ".pixel")) continue;
    const bool is_cubic = interpolation == io::Interpolation::bicubic;
    tensors.expect_close(key + ".pixel", alpha, is_cubic ? 1.01 / 255 : 1e-6);
    const auto cells = [](const at::Tensor& values) {  // [H,W] -> [h,8,w,8] -> [h,w]
      return values.reshape({values.size(0) / 8, 8, values.size(1) / 8, 8}).mean(at::IntArrayRef{1, 3});
    };
    if (is_cubic) continue;
    tensors.expect_close(key + ".latent", cells(alpha), 1e-6);
    tensors.expect_close(key + ".latent_flipped", cells(alpha.flip(1)), 1e-6);
  }
}

TEST(GoldenMasks, mask_images_weigh_latent_cells_by_their_red_channel) {
  const json file = test::golden_data("pixels.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no pixels.json";
  test::GoldenFile tensors(test::golden_folder() / "data" / "pixels.safetensors");
  for (const json& resize : test::list_of(file, "resize")) {
    const std::string name = "mask_image." + resize["key"].get<std::string>() + ".latent";
    if (!tensors.has(name)) continue;
    const io::Image image =
        io::read_image(test::golden_folder() / "data" / "images" / resize["file"].get<std::string>());
    const BucketChoice choice{size_of(resize["bucket"]), size_of(resize["resized"])};
    ASSERT_TRUE(resize["interpolation"].is_null());
    const io::Image cut = resize_and_crop(image, centre_crop(choice), io::Interpolation::automatic);
    const at::Tensor red = image_to_tensor(cut)[0] / 2 + 0.5;
    const at::Tensor cells =  // [H,W] -> [h,8,w,8] -> [h,w]
        red.reshape({red.size(0) / 8, 8, red.size(1) / 8, 8}).mean(at::IntArrayRef{1, 3});
    tensors.expect_close(name, cells, 1e-6);
  }
}

}  // namespace
}  // namespace loraptor::data
