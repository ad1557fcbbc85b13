// Loaded batches: pixels, masks, captions, draws, worker threads.
#include "data/batch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "data/data_loader.h"
#include "data/working_folder.h"
#include "io/image.h"

namespace loraptor::data {
namespace {

DataConfig describe_one(const std::string& dataset, const std::string& subset) {
  test::write_text("config.toml", "[[datasets]]\n" + dataset + "\n[[datasets.subsets]]\n" + subset + "\n");
  DataConfig flags;
  flags.dataset_config = "config.toml";
  return flags;
}

/// A PNG whose grey value grows from left to right and whose alpha grows from top to bottom.
void write_gradient(const std::string& path, int64_t width, int64_t height) {
  test::write_image(path, width, height);  // makes the folder
  io::Image image = io::make_image(width, height, 4);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const auto value = static_cast<uint8_t>(255 * x / (width - 1));
      uint8_t* pixel = image.row(y) + x * 4;
      pixel[0] = pixel[1] = pixel[2] = value;
      pixel[3] = static_cast<uint8_t>(255 * y / (height - 1));
    }
  }
  io::write_png(path, image);
}

TEST(Batch, pixels_captions_and_weights_belong_together) {
  test::WorkingFolder folder;
  test::write_image("a/black.png", 64, 64, 0);
  test::write_image("a/white.png", 64, 64, 255);
  test::write_text("a/black.caption", "dark\n");
  test::write_text("a/white.caption", "bright\n");
  const Dataset dataset = Dataset::build(describe_one("resolution = 64\nbatch_size = 2", "image_dir = 'a'"), 0);
  const Batch batch = load_batch(dataset, plan_from_stems(dataset, {"white", "black"}), 1, 0, true);
  EXPECT_EQ(batch.pixels.sizes(), (at::IntArrayRef{2, 3, 64, 64}));
  EXPECT_EQ(batch.pixels[0].min().item<float>(), 1.0f);
  EXPECT_EQ(batch.pixels[1].max().item<float>(), -1.0f);
  EXPECT_EQ(batch.captions, (std::vector<std::string>{"bright", "dark"}));
  EXPECT_EQ(batch.stems, (std::vector<std::string>{"white", "black"}));
  ASSERT_EQ(batch.crops.size(), 2u);
  EXPECT_EQ((Size{batch.crops[0].width, batch.crops[0].height}), (Size{64, 64}));
  EXPECT_TRUE(at::equal(batch.loss_weights, at::ones({2})));
  EXPECT_FALSE(batch.masks);
  EXPECT_FALSE(load_batch(dataset, batch.plan, 1, 0, false).pixels.defined());
}

TEST(Batch, flips_mirror_image_and_mask_and_are_drawn_per_occurrence) {
  test::WorkingFolder folder;
  write_gradient("a/x.png", 64, 64);
  const Dataset dataset = Dataset::build(
      describe_one("resolution = 64", "image_dir = 'a'\nnum_repeats = 32\nflip_aug = true\nalpha_mask = true"), 3);
  int flips = 0;
  for (const BatchPlan& plan : dataset.epoch(1)) {
    const Batch batch = load_batch(dataset, plan, 1, 0, true);
    const float left = batch.pixels[0][0][0][0].item<float>();
    EXPECT_EQ(left, batch.flipped[0] ? 1.0f : -1.0f);
    ASSERT_TRUE(batch.masks);
    EXPECT_EQ((*batch.masks)[0][0][0].item<float>(), 0.0f);
    EXPECT_EQ((*batch.masks)[0][63][5].item<float>(), 1.0f);
    EXPECT_EQ(load_batch(dataset, plan, 1, 0, false).flipped, batch.flipped);
    flips += batch.flipped[0];
  }
  EXPECT_GT(flips, 4);
  EXPECT_LT(flips, 28);
}

TEST(Batch, tells_where_each_image_was_cut) {
  test::WorkingFolder folder;
  write_gradient("a/x.png", 256, 64);
  const Dataset dataset =
      Dataset::build(describe_one("resolution = 64\nenable_bucket = true\nmin_bucket_reso = 64\nmax_bucket_reso = 64\n"
                                  "bucket_reso_steps = 32",
                                  "image_dir = 'a'\nnum_repeats = 8\nrandom_crop = true"),
                     3);
  std::set<int64_t> lefts;
  for (const BatchPlan& plan : dataset.epoch(1)) {
    const Batch batch = load_batch(dataset, plan, 1, 0, true);
    const ResizeCrop& crop = batch.crops.at(0);
    EXPECT_EQ((Size{crop.resized_width, crop.resized_height}), (Size{256, 64}));
    lefts.insert(crop.crop_left);
    // 256 px wide, so the grey value is the column.
    EXPECT_NEAR(batch.pixels[0][0][0][0].item<float>(), static_cast<float>(crop.crop_left) / 255 * 2 - 1, 1e-6f);
  }
  EXPECT_GT(lefts.size(), 3u);
}

TEST(Batch, mask_images_are_cut_like_their_image) {
  test::WorkingFolder folder;
  write_gradient("img/x.png", 96, 64);
  write_gradient("mask/x.png", 96, 64);
  DataConfig flags = describe_one("resolution = 64", "image_dir = 'img'\nconditioning_data_dir = 'mask'");
  flags.masked_loss = true;
  const Dataset dataset = Dataset::build(flags, 0);
  const Batch batch = load_batch(dataset, dataset.epoch(1)[0], 1, 0, true);
  ASSERT_TRUE(batch.masks);
  EXPECT_LT((*batch.masks - (batch.pixels.select(1, 0) / 2 + 0.5)).abs().max().item<float>(), 1e-6f);
  test::write_image("mask/x.png", 64, 64);
  EXPECT_THROW(load_batch(dataset, dataset.epoch(1)[0], 1, 0, true), FileError);
}

TEST(Batch, cache_input_is_the_centre_without_draws) {
  test::WorkingFolder folder;
  write_gradient("a/x.png", 96, 64);
  const Dataset dataset =
      Dataset::build(describe_one("resolution = 64", "image_dir = 'a'\nflip_aug = true\nalpha_mask = true"), 0);
  const CacheInput input = load_cache_input(dataset, dataset.images()[0]);
  EXPECT_EQ(input.pixels.sizes(), (at::IntArrayRef{3, 64, 64}));
  EXPECT_EQ(input.original, (Size{96, 64}));
  EXPECT_LT(input.pixels[0][0][0].item<float>(), input.pixels[0][0][63].item<float>());
  EXPECT_EQ(input.mask->sizes(), (at::IntArrayRef{64, 64}));
}

TEST(Batch, an_image_that_was_changed_meanwhile_is_told_once) {
  test::WorkingFolder folder;
  test::write_image("a/x.png", 64, 64);
  const Dataset dataset = Dataset::build(describe_one("resolution = 64", "image_dir = 'a'"), 0);
  const auto told = [&](int64_t width, int64_t height) {
    test::write_image("a/x.png", width, height);
    testing::internal::CaptureStderr();
    load_batch(dataset, dataset.epoch(1).front(), 1, 0, true);
    load_cache_input(dataset, dataset.images().front());
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(told(64, 64), "");
  EXPECT_EQ(told(127, 128), "") << "the same shape, but for rounding";
  const std::string first = told(128, 64);
  EXPECT_NE(first.find("is 128x64, its bucket was chosen for 64x64"), std::string::npos) << first;
  EXPECT_EQ(first.find("is 128x64"), first.rfind("is 128x64"));
}

TEST(Batch, drawn_cache_inputs_differ_by_their_number_only) {
  test::WorkingFolder folder;
  write_gradient("a/x.png", 256, 64);
  const std::string keys = "image_dir = 'a'\nrandom_crop = true\ncolor_aug = true";
  const Dataset dataset = Dataset::build(describe_one("resolution = 64", keys), 0);
  const Dataset other_seed = Dataset::build(describe_one("resolution = 64", keys), 1);
  std::set<float> corners;
  for (int64_t number = 1; number <= 8; ++number) {
    const at::Tensor pixels = load_cache_input(dataset, dataset.images()[0], number).pixels;
    EXPECT_EQ(pixels.sizes(), (at::IntArrayRef{3, 64, 64}));
    EXPECT_TRUE(pixels.equal(load_cache_input(other_seed, other_seed.images()[0], number).pixels));
    corners.insert(pixels[0][0][0].item<float>());
  }
  EXPECT_GT(corners.size(), 3u);
}

TEST(Batch, captions_come_from_the_drawn_ones_when_they_are_cached) {
  test::WorkingFolder folder;
  write_gradient("a/x.png", 64, 64);
  test::write_text("a/x.caption", "one, two, three, four, five, six\n");
  Dataset dataset = Dataset::build(describe_one("resolution = 64",
                                                "image_dir = 'a'\nnum_repeats = 40\nshuffle_caption = true\n"
                                                "caption_dropout_rate = 0.3\ncaption_prefix = 'photo of'"),
                                   3);
  dataset.set_caption_variants(3);
  std::set<std::string> drawn{""};
  for (int64_t number = 1; number <= 3; ++number) drawn.insert(caption_variant(dataset, dataset.images()[0], number));
  EXPECT_EQ(drawn.size(), 4u);
  for (const std::string& caption : drawn)
    EXPECT_TRUE(caption.empty() || caption.find("photo of") != std::string::npos);
  std::set<std::string> used;
  int64_t dropped = 0;
  for (const BatchPlan& plan : dataset.epoch(1)) {
    for (const std::string& caption : load_batch(dataset, plan, 1, 0, false).captions) {
      used.insert(caption);
      dropped += caption.empty();
    }
  }
  EXPECT_EQ(used, drawn);
  EXPECT_GT(dropped, 4);
  EXPECT_LT(dropped, 24);
}

std::vector<Batch> load_all(const Dataset& dataset, int64_t workers) {
  LoaderOptions options;
  options.workers = workers;
  options.epoch = 2;
  DataLoader loader(dataset, dataset.epoch(2), options);
  std::vector<Batch> batches;
  while (loader.has_next()) batches.push_back(loader.next());
  return batches;
}

TEST(DataLoader, batches_do_not_depend_on_the_number_of_workers) {
  test::WorkingFolder folder;
  for (int i = 0; i < 7; ++i) {
    write_gradient(fmt::format("a/x{}.png", i), 64 + 32 * (i % 2), 64 + i);
    test::write_text(fmt::format("a/x{}.caption", i), "one, two, three, four, five\n");
  }
  const Dataset dataset = Dataset::build(
      describe_one(
          "resolution = 64\nbatch_size = 2\nenable_bucket = true\nmin_bucket_reso = 32\nmax_bucket_reso = 128\n"
          "bucket_reso_steps = 32",
          "image_dir = 'a'\nnum_repeats = 3\nflip_aug = true\ncolor_aug = true\nrandom_crop = true\n"
          "shuffle_caption = true\ncaption_dropout_rate = 0.2"),
      5);
  const std::vector<Batch> alone = load_all(dataset, 0);
  for (const int64_t workers : {1, 2, 8}) {
    const std::vector<Batch> together = load_all(dataset, workers);
    ASSERT_EQ(together.size(), alone.size());
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(together[i].plan.occurrences, alone[i].plan.occurrences);
      EXPECT_EQ(together[i].captions, alone[i].captions);
      EXPECT_TRUE(at::equal(together[i].pixels, alone[i].pixels));
    }
  }
}

TEST(DataLoader, an_error_of_a_worker_reaches_the_caller) {
  test::WorkingFolder folder;
  for (int i = 0; i < 4; ++i) test::write_image(fmt::format("a/x{}.png", i), 64, 64);
  const Dataset dataset = Dataset::build(describe_one("resolution = 64", "image_dir = 'a'"), 0);
  std::filesystem::remove("a/x2.png");
  for (const int64_t workers : {0, 2}) {
    LoaderOptions options;
    options.workers = workers;
    DataLoader loader(dataset, dataset.epoch(1), options);
    int good = 0, bad = 0;
    while (loader.has_next()) {
      try {
        loader.next();
        ++good;
      } catch (const FileError& error) {
        EXPECT_NE(std::string(error.what()).find("x2.png"), std::string::npos);
        ++bad;
      }
    }
    EXPECT_EQ(good, 3);
    EXPECT_EQ(bad, 1);
  }
}

TEST(DataLoader, may_be_destroyed_before_its_end) {
  test::WorkingFolder folder;
  for (int i = 0; i < 9; ++i) test::write_image(fmt::format("a/x{}.png", i), 64, 64);
  const Dataset dataset = Dataset::build(describe_one("resolution = 64", "image_dir = 'a'"), 0);
  LoaderOptions options;
  options.workers = 2;
  DataLoader loader(dataset, dataset.epoch(1), options);
  loader.next();
}

}  // namespace
}  // namespace loraptor::data
