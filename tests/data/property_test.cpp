// What holds for every data set, on many drawn ones: buckets, repeats, order. No file is read.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "data/augment.h"
#include "data/data_loader.h"
#include "data/dataset_build.h"
#include "data/scanned_subset.h"

namespace loraptor::data {
namespace {

using Generator = std::mt19937;

int64_t draw(Generator& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

bool draw_yes(Generator& random) { return draw(random, 0, 1) == 1; }

/// Limits as a user may write them, adjusted to the grid.
BucketConfig draw_buckets(Generator& random) {
  BucketConfig config;
  config.enabled = true;
  config.step = 32 * draw(random, 1, 4);
  config.resolution = {draw(random, 256, 1536), draw(random, 256, 1536)};
  config.min_side = draw(random, 128, 256);
  config.max_side = draw(random, 1536, 2048);
  config.no_upscale = draw_yes(random);
  EXPECT_EQ(adjust_bucket_limits(config), std::nullopt);
  return config;
}

/// Photographs, panoramas, thumbnails; no side is smaller than the largest step.
Size draw_size(Generator& random) {
  const double ratio = std::exp2(std::uniform_real_distribution<double>(-2.5, 2.5)(random));
  const double side = std::exp2(std::uniform_real_distribution<double>(9.5, 12)(random));
  return {static_cast<int64_t>(side * std::sqrt(ratio)), static_cast<int64_t>(side / std::sqrt(ratio))};
}

double ratio_of(const Size& size) { return static_cast<double>(size.width) / static_cast<double>(size.height); }

/// The resized image has the shape of the original, up to rounding.
void expect_same_shape(const Size& resized, const Size& image) {
  const int64_t error = std::abs(resized.width * image.height - resized.height * image.width);
  EXPECT_LE(2 * error, image.width + image.height) << to_string(resized);
}

void expect_inside(const ResizeCrop& crop, const BucketChoice& choice) {
  EXPECT_EQ((Size{crop.width, crop.height}), choice.bucket);
  EXPECT_EQ((Size{crop.resized_width, crop.resized_height}), choice.resized);
  EXPECT_GE(std::min(crop.crop_left, crop.crop_top), 0);
  EXPECT_LE(crop.crop_left + crop.width, crop.resized_width);
  EXPECT_LE(crop.crop_top + crop.height, crop.resized_height);
}

void expect_choice_from_table(const BucketConfig& config, const std::vector<Size>& table, const BucketChoice& choice,
                              const Size& image) {
  const Size& bucket = choice.bucket;
  EXPECT_TRUE(std::binary_search(table.begin(), table.end(), bucket));
  EXPECT_GE(std::min(bucket.width, bucket.height), config.min_side);
  EXPECT_LE(std::max(bucket.width, bucket.height), config.max_side);
  EXPECT_LE(bucket.width * bucket.height, config.resolution.width * config.resolution.height);
  // Resizing makes one side fit; only the other is cut.
  EXPECT_TRUE(choice.resized.width == bucket.width || choice.resized.height == bucket.height);
  if (bucket == image) return;
  for (const Size& other : table) {
    EXPECT_LE(std::abs(ratio_of(bucket) - ratio_of(image)), std::abs(ratio_of(other) - ratio_of(image)));
  }
}

void expect_own_bucket(const BucketConfig& config, const BucketChoice& choice, const Size& image) {
  const auto area = static_cast<double>(config.resolution.width * config.resolution.height);
  EXPECT_LE(choice.resized.width, image.width);
  EXPECT_LE(choice.resized.height, image.height);
  EXPECT_LT(choice.resized.width - choice.bucket.width, config.step);
  EXPECT_LT(choice.resized.height - choice.bucket.height, config.step);
  // Sides are rounded to whole pixels, up to half a pixel too much each.
  const auto width = static_cast<double>(choice.bucket.width), height = static_cast<double>(choice.bucket.height);
  EXPECT_LE(width * height, area + 0.5 * (width + height) + 1);
}

TEST(BucketProperties, hold_for_any_image_and_any_limits) {
  Generator random(1);
  for (int round = 0; round < 60; ++round) {
    const BucketConfig config = draw_buckets(random);
    const std::vector<Size> table = bucket_table(config);
    for (int i = 0; i < 150; ++i) {
      const Size image = draw_size(random);
      SCOPED_TRACE(fmt::format("image {}, resolution {}, sides {} to {}, step {}{}", to_string(image),
                               to_string(config.resolution), config.min_side, config.max_side, config.step,
                               config.no_upscale ? ", no upscale" : ""));
      const BucketChoice choice = choose_bucket(config, table, image, "image");
      EXPECT_EQ(choice.bucket.width % config.step, 0);
      EXPECT_EQ(choice.bucket.height % config.step, 0);
      expect_same_shape(choice.resized, image);
      expect_inside(centre_crop(choice), choice);
      PythonRandom augmentation(i);
      expect_inside(random_crop(choice, augmentation), choice);
      if (config.no_upscale) {
        expect_own_bucket(config, choice, image);
      } else {
        expect_choice_from_table(config, table, choice, image);
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

/// A subset of images that do not exist.
ScannedSubset draw_subset(Generator& random, const std::string& name, bool is_reg) {
  test::SubsetMaker subset;
  subset.config().image_dir = name;
  subset.config().num_repeats = draw(random, 1, 5);
  subset.config().is_reg = is_reg;
  subset.config().flip_aug = true;
  subset.config().caption.shuffle_caption = true;
  subset.config().caption.caption_dropout_rate = 0.2;
  subset.config().caption.caption_tag_dropout_rate = 0.3;
  const int64_t count = draw(random, 1, 40);
  for (int64_t i = 0; i < count; ++i) {
    const std::string path = fmt::format("/{}/{}.png", name, i);
    subset.add(path, "one, two, three, four, five, six", draw_size(random));
  }
  return subset.made();
}

ScannedDatasets draw_datasets(Generator& random) {
  ScannedDatasets scanned;
  const int64_t count = draw(random, 1, 3);
  for (int64_t i = 0; i < count; ++i) {
    const BucketConfig buckets = draw_buckets(random);
    DatasetConfig config;
    config.resolution = buckets.resolution;
    config.enable_bucket = draw(random, 0, 3) > 0;
    config.bucket_no_upscale = buckets.no_upscale;
    config.min_bucket_reso = buckets.min_side;
    config.max_bucket_reso = buckets.max_side;
    config.bucket_reso_steps = buckets.step;
    config.batch_size = draw(random, 1, 6);
    scanned.config.datasets.push_back(config);
    auto& subsets = scanned.subsets.emplace_back();
    const int64_t training = draw(random, 1, 3);
    for (int64_t s = 0; s < training; ++s) subsets.push_back(draw_subset(random, fmt::format("set{}_{}", i, s), false));
    if (draw_yes(random)) subsets.push_back(draw_subset(random, fmt::format("reg{}", i), true));
  }
  return scanned;
}

Dataset draw_dataset(Generator& random) {
  return Dataset(build_content(draw_datasets(random), {}, static_cast<uint64_t>(draw(random, 0, 1 << 30)), false));
}

/// The batches of an epoch hold every occurrence of every image once, keep to one bucket each, and are full but for
/// the last of a bucket.
void expect_whole_epoch(const Dataset& dataset, int64_t epoch) {
  std::map<int64_t, std::set<uint64_t>> occurrences;
  std::map<std::tuple<int64_t, int64_t, int64_t>, int> short_batches;
  const auto plans = dataset.epoch(epoch);
  EXPECT_EQ(static_cast<int64_t>(plans.size()), dataset.batches_per_epoch());
  for (const BatchPlan& plan : plans) {
    const auto batch_size = static_cast<size_t>(dataset.parts()[static_cast<size_t>(plan.dataset)].config.batch_size);
    ASSERT_LE(plan.images.size(), batch_size);
    ASSERT_GE(plan.images.size(), 1u);
    if (plan.images.size() < batch_size) ++short_batches[{plan.dataset, plan.bucket_width, plan.bucket_height}];
    for (size_t i = 0; i < plan.images.size(); ++i) {
      const ImageEntry& image = dataset.images()[static_cast<size_t>(plan.images[i])];
      EXPECT_EQ(image.dataset, plan.dataset);
      EXPECT_EQ(image.geometry.bucket, (Size{plan.bucket_width, plan.bucket_height}));
      EXPECT_TRUE(occurrences[image.index].insert(plan.occurrences[i]).second) << image.path;
    }
  }
  for (const auto& [bucket, count] : short_batches) EXPECT_EQ(count, 1);
  for (const ImageEntry& image : dataset.images()) {
    EXPECT_EQ(static_cast<int64_t>(occurrences[image.index].size()), image.repeats) << image.path;
  }
}

TEST(EpochProperties, every_image_is_seen_exactly_as_often_as_it_repeats) {
  Generator random(2);
  for (int round = 0; round < 40; ++round) {
    const Dataset dataset = draw_dataset(random);
    for (const int64_t epoch : {1, 2, 5}) expect_whole_epoch(dataset, epoch);
    for (const DatasetPart& part : dataset.parts()) {
      int64_t training = 0, regularisation = 0;
      for (const ImageEntry& image : dataset.images()) {
        if (&dataset.parts()[static_cast<size_t>(image.dataset)] != &part) continue;
        (image.is_regularisation ? regularisation : training) += image.repeats;
      }
      EXPECT_EQ(training, part.num_train_images);
      EXPECT_GE(regularisation, part.num_reg_images > 0 ? training : 0);
    }
  }
}

struct Seen {
  std::vector<uint64_t> occurrences;
  std::vector<std::string> captions;
  std::vector<uint8_t> flipped;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> load_epoch(const Dataset& dataset, int64_t workers, int64_t prefetch, int64_t first_batch) {
  auto plans = dataset.epoch(3);
  plans.erase(plans.begin(), plans.begin() + first_batch);
  LoaderOptions options;
  options.epoch = 3;
  options.first_batch = first_batch;
  options.with_pixels = false;
  options.workers = workers;
  options.prefetch = prefetch;
  DataLoader loader(dataset, std::move(plans), options);
  std::vector<Seen> seen;
  while (loader.has_next()) {
    Batch batch = loader.next();
    seen.push_back({std::move(batch.plan.occurrences), std::move(batch.captions), std::move(batch.flipped)});
  }
  return seen;
}

TEST(EpochProperties, order_and_draws_do_not_depend_on_threads_nor_on_where_the_epoch_is_entered) {
  Generator random(3);
  for (int round = 0; round < 8; ++round) {
    const Dataset dataset = draw_dataset(random);
    const std::vector<Seen> alone = load_epoch(dataset, 0, 1, 0);
    ASSERT_EQ(static_cast<int64_t>(alone.size()), dataset.batches_per_epoch());
    for (const auto& [workers, prefetch] : {std::pair(1, 1), std::pair(2, 1), std::pair(2, 7)}) {
      EXPECT_EQ(load_epoch(dataset, workers, prefetch, 0), alone) << workers;
    }
    const int64_t entered = draw(random, 0, dataset.batches_per_epoch() - 1);
    EXPECT_EQ(load_epoch(dataset, 2, 2, entered), std::vector<Seen>(alone.begin() + entered, alone.end()));
  }
}

TEST(EpochProperties, epochs_differ_and_every_repeat_draws_anew) {
  Generator random(4);
  ScannedDatasets scanned = draw_datasets(random);
  scanned.config.datasets.resize(1);
  scanned.subsets.resize(1);
  scanned.subsets[0].resize(1);
  scanned.subsets[0][0].config.num_repeats = 50;
  const Dataset dataset(build_content(scanned, {}, 9, false));
  std::map<int64_t, std::set<std::string>> captions;
  int64_t flipped = 0, all = 0;
  const auto plans = dataset.epoch(1);
  for (const BatchPlan& plan : plans) {
    const Batch batch = load_batch(dataset, plan, 1, 0, false);
    for (size_t i = 0; i < plan.images.size(); ++i) captions[plan.images[i]].insert(batch.captions[i]);
    for (const uint8_t flag : batch.flipped) flipped += flag;
    all += static_cast<int64_t>(plan.images.size());
  }
  for (const auto& [image, texts] : captions) EXPECT_GT(texts.size(), 10u);
  // 50 draws an image: four standard deviations.
  EXPECT_NEAR(static_cast<double>(flipped), 0.5 * static_cast<double>(all), 2 * std::sqrt(static_cast<double>(all)));
  const BatchPlan& plan = plans.front();
  std::set<std::vector<std::string>> of_epochs;
  for (int64_t epoch = 1; epoch <= 5; ++epoch) of_epochs.insert(load_batch(dataset, plan, epoch, 0, false).captions);
  EXPECT_GT(of_epochs.size(), 1u);
}

}  // namespace
}  // namespace loraptor::data
