// Data sets: buckets, repeats, order, regularisation, splits, recorded batches.
#include "data/dataset.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <set>

#include "base/error.h"
#include "data/dataset_build.h"
#include "data/scanned_subset.h"
#include "data/working_folder.h"

namespace loraptor::data {
namespace {

/// A description with one data set: its keys, and the keys of its subsets.
DataConfig describe(const std::string& dataset, const std::vector<std::string>& subsets) {
  std::string text = "[[datasets]]\n" + dataset + "\n";
  for (const std::string& subset : subsets) text += "[[datasets.subsets]]\n" + subset + "\n";
  test::write_text("config.toml", text);
  DataConfig flags;
  flags.dataset_config = "config.toml";
  return flags;
}

void write_mixed_images(const std::string& folder, int count) {
  const int64_t widths[] = {64, 128, 32, 80, 64}, heights[] = {64, 32, 128, 70, 100};
  for (int i = 0; i < count; ++i) {
    test::write_image(fmt::format("{}/{}{}.png", folder, folder, i), widths[i % 5], heights[i % 5]);
  }
}

constexpr const char* kBuckets =
    "resolution = 64\nbatch_size = 3\nenable_bucket = true\nmin_bucket_reso = 32\nmax_bucket_reso = 128\n"
    "bucket_reso_steps = 32";

TEST(Dataset, every_image_occurs_exactly_as_often_as_it_repeats) {
  test::WorkingFolder folder;
  write_mixed_images("a", 11);
  write_mixed_images("b", 4);
  const Dataset dataset =
      Dataset::build(describe(kBuckets, {"image_dir = 'a'\nnum_repeats = 3", "image_dir = 'b'\nnum_repeats = 2"}), 7);
  for (int64_t epoch = 1; epoch <= 4; ++epoch) {
    std::map<int64_t, int64_t> counts;
    std::set<uint64_t> occurrences;
    const auto plans = dataset.epoch(epoch);
    EXPECT_EQ(static_cast<int64_t>(plans.size()), dataset.batches_per_epoch());
    for (const BatchPlan& plan : plans) {
      EXPECT_LE(plan.images.size(), 3u);
      for (size_t i = 0; i < plan.images.size(); ++i) {
        const ImageEntry& image = dataset.images()[static_cast<size_t>(plan.images[i])];
        EXPECT_EQ(image.geometry.bucket, (Size{plan.bucket_width, plan.bucket_height}));
        EXPECT_TRUE(occurrences.insert(plan.occurrences[i]).second);
        ++counts[image.index];
      }
    }
    for (const ImageEntry& image : dataset.images()) EXPECT_EQ(counts[image.index], image.repeats) << image.path;
  }
}

TEST(Dataset, order_is_a_function_of_seed_and_epoch) {
  test::WorkingFolder folder;
  write_mixed_images("a", 12);
  const DataConfig flags = describe(kBuckets, {"image_dir = 'a'\nnum_repeats = 4"});
  const Dataset one = Dataset::build(flags, 1), same = Dataset::build(flags, 1), other = Dataset::build(flags, 2);
  const auto order = [](const Dataset& dataset, int64_t epoch) {
    std::vector<uint64_t> all;
    for (const BatchPlan& plan : dataset.epoch(epoch)) {
      all.insert(all.end(), plan.occurrences.begin(), plan.occurrences.end());
    }
    return all;
  };
  EXPECT_EQ(order(one, 3), order(same, 3));
  EXPECT_NE(order(one, 3), order(one, 4));
  EXPECT_NE(order(one, 3), order(other, 3));
}

TEST(Dataset, buckets_cover_and_stay_on_the_grid) {
  BucketConfig config{{512, 768}, true, 256, 1024, 64, false};
  ASSERT_FALSE(adjust_bucket_limits(config));
  const std::vector<Size> table = bucket_table(config);
  for (const bool no_upscale : {false, true}) {
    config.no_upscale = no_upscale;
    for (int64_t width = 70; width < 3000; width += 131) {
      for (int64_t height = 70; height < 3000; height += 117) {
        const BucketChoice choice = choose_bucket(config, table, {width, height}, "image");
        EXPECT_EQ(choice.bucket.width % 64, 0);
        EXPECT_EQ(choice.bucket.height % 64, 0);
        EXPECT_GE(choice.resized.width, choice.bucket.width);
        EXPECT_GE(choice.resized.height, choice.bucket.height);
        if (no_upscale) {
          EXPECT_LE(choice.resized.width * choice.resized.height, std::max<int64_t>(width * height, 1));
        }
        if (!no_upscale) {
          EXPECT_LE(choice.bucket.width * choice.bucket.height, 512 * 768);
        }
      }
    }
  }
}

TEST(Dataset, regularisation_matches_training_and_has_its_weight) {
  test::WorkingFolder folder;
  write_mixed_images("a", 5);
  write_mixed_images("r", 3);
  DataConfig flags = describe("resolution = 64", {"image_dir='a'\nnum_repeats=2", "image_dir='r'\nis_reg=true"});
  flags.prior_loss_weight = 0.25;
  const Dataset dataset = Dataset::build(flags, 0);
  int64_t training = 0, regularisation = 0;
  for (const ImageEntry& image : dataset.images()) {
    (image.is_regularisation ? regularisation : training) += image.repeats;
    EXPECT_EQ(image.loss_weight, image.is_regularisation ? 0.25f : 1.0f);
  }
  EXPECT_EQ(training, 10);
  EXPECT_EQ(regularisation, 10);
  EXPECT_EQ(dataset.num_reg_images(), 3);
}

TEST(Dataset, validation_is_what_training_leaves_and_always_the_same) {
  test::WorkingFolder folder;
  write_mixed_images("a", 13);
  const DatasetGroups groups = Dataset::build_groups(
      describe("resolution = 64\nvalidation_split = 0.3", {"image_dir = 'a'\nnum_repeats = 5"}), 9);
  std::set<std::string> stems;
  for (const ImageEntry& image : groups.training.images()) EXPECT_TRUE(stems.insert(image.stem()).second);
  for (const ImageEntry& image : groups.validation.images()) {
    EXPECT_TRUE(stems.insert(image.stem()).second);
    EXPECT_EQ(image.repeats, 1);
  }
  EXPECT_EQ(stems.size(), 13u);
  EXPECT_EQ(groups.validation.images().size(), 3u);
  EXPECT_EQ(groups.validation.epoch(1)[0].images, groups.validation.epoch(2)[0].images);
}

TEST(Dataset, recorded_batches_are_found_by_stem_or_refused_with_both_values) {
  test::WorkingFolder folder;
  test::write_image("a/square.png", 64, 64);
  test::write_image("a/square2.png", 64, 64);
  test::write_image("a/wide.png", 128, 32);
  const Dataset dataset = Dataset::build(describe(kBuckets, {"image_dir = 'a'\nnum_repeats = 2"}), 0);
  const BatchPlan plan = plan_from_stems(dataset, {"square2", "square", "square2"});
  EXPECT_EQ(plan.images, (std::vector<int64_t>{1, 0, 1}));
  EXPECT_NE(plan.occurrences[0], plan.occurrences[2]);
  const auto message = [&](const std::vector<std::string>& stems) -> std::string {
    try {
      plan_from_stems(dataset, stems);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message({"cube"}).find("got 'cube'"), std::string::npos);
  EXPECT_NE(message({"square", "wide"}).find("'wide'"), std::string::npos);
  EXPECT_NE(message({"square", "square", "square", "square"}).find("got 4 images, expected at most the batch size 3"),
            std::string::npos);
}

TEST(Dataset, images_too_small_for_a_bucket_are_named) {
  test::WorkingFolder folder;
  test::write_image("a/tiny.png", 20, 500);
  const auto flags = describe(
      "resolution = 64\nenable_bucket = true\nbucket_no_upscale = true\nmin_bucket_reso = 32\nmax_bucket_reso = 64\n"
      "bucket_reso_steps = 32",
      {"image_dir = 'a'"});
  try {
    Dataset::build(flags, 0);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("a/tiny.png"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("20x500"), std::string::npos);
  }
}

TEST(Dataset, folders_by_naming_convention_need_no_file) {
  test::WorkingFolder folder;
  test::write_image("train/3_red cat/x.png", 64, 64);
  test::write_image("train/1_dog/y.png", 64, 64);
  test::write_text("train/1_dog/y.txt", "a dog\n");
  DataConfig flags;
  flags.train_data_dir = "train";
  flags.resolution = "64";
  flags.caption_extension = ".txt";
  const Dataset dataset = Dataset::build(flags, 0);
  ASSERT_EQ(dataset.images().size(), 2u);
  EXPECT_EQ(dataset.images()[0].caption, "a dog");
  EXPECT_EQ(dataset.images()[1].caption, "red cat");
  EXPECT_EQ(dataset.images()[1].repeats, 3);
  const auto facts = dataset.dataset_metadata();
  EXPECT_EQ(facts["ss_num_train_images"], 4);
  EXPECT_EQ(facts["ss_resolution"], "(64, 64)");
  EXPECT_EQ(facts["ss_dataset_dirs"]["3_red cat"]["n_repeats"], 3);
  EXPECT_EQ(facts["ss_tag_frequency"]["1_dog"]["a dog"], 1);
}

TEST(Dataset, metadata_of_a_description_file_lists_each_data_set) {
  test::WorkingFolder folder;
  write_mixed_images("a", 3);
  const auto facts = Dataset::build(describe(kBuckets, {"image_dir = 'a/'"}), 0).dataset_metadata();
  ASSERT_EQ(facts["ss_datasets"].size(), 1u);
  EXPECT_EQ(facts["ss_datasets"][0]["subsets"][0]["image_dir"], "a");
  EXPECT_EQ(facts["ss_datasets"][0]["subsets"][0]["img_count"], 3);
  EXPECT_EQ(facts["ss_datasets"][0]["bucket_info"]["buckets"].size(), 3u);
  EXPECT_EQ(facts["ss_dataset_dirs"]["a"]["img_count"], 3);
}

size_t used_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(Dataset, an_image_takes_less_than_200_bytes_beside_its_path_and_caption) {
  constexpr int64_t kImages = 200'000;
  ScannedDatasets scanned;
  scanned.config.datasets.emplace_back().resolution = Size{64, 64};
  scanned.config.datasets[0].enable_bucket = true;
  scanned.config.datasets[0].min_bucket_reso = 32;
  scanned.config.datasets[0].max_bucket_reso = 128;
  scanned.config.datasets[0].bucket_reso_steps = 32;
  const size_t before = used_bytes();
  test::SubsetMaker subset;
  subset.config().image_dir = "/pictures";
  size_t texts = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    const std::string path = fmt::format("/pictures/{:07}.png", i),
                      caption = fmt::format("a picture, {} trees", i % 50);
    subset.add(path, caption, {30 + i % 70, 40 + i % 60});
    texts += path.size() + caption.size();
  }
  scanned.subsets.push_back({subset.made()});
  const Dataset dataset(build_content(scanned, {}, 1, false));
  scanned.subsets.clear();
  const size_t bytes = used_bytes() - before;
  ASSERT_EQ(dataset.images().size(), static_cast<size_t>(kImages));
  EXPECT_GT(bytes, texts);
  EXPECT_LT((bytes - texts) / kImages, 200u);
}

}  // namespace
}  // namespace loraptor::data
