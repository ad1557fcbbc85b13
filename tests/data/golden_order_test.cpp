// Python's generator, bucket tables and geometry, batch order, splits and balancing against the reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/bucket.h"
#include "data/dataset.h"
#include "data/dataset_build.h"
#include "data/epoch_order.h"
#include "data/golden_size.h"
#include "data/image_transform.h"
#include "data/python_random.h"
#include "data/validation_split.h"
#include "data/working_folder.h"
#include "support/golden.h"

namespace loraptor::data {
namespace {

using nlohmann::json;
using Counts = std::vector<int64_t>;

using test::list_of;

Counts shuffled(int64_t count, PythonRandom& random) {
  Counts items(static_cast<size_t>(count));
  for (size_t i = 0; i < items.size(); ++i) items[i] = static_cast<int64_t>(i);
  random.shuffle(items);
  return items;
}

/// The absolute value of a decimal number in 32-bit words, lowest first.
std::vector<uint32_t> words_of(const std::string& decimal) {
  std::vector<uint32_t> words{0};
  for (const char digit : decimal) {
    if (digit == '-') continue;
    uint64_t carry = static_cast<uint64_t>(digit - '0');
    for (uint32_t& word : words) {
      carry += uint64_t{word} * 10;
      word = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) words.push_back(static_cast<uint32_t>(carry));
  }
  return words;
}

void check_generator(const json& vectors) {
  const auto text = vectors["seed"].get<std::string>();
  SCOPED_TRACE("seed " + text);
  const PythonRandom start(words_of(text));
  PythonRandom reals = start, words = start, bits = start, wide = start, whole = start, choices = start, mixed = start;
  for (const json& value : vectors["random"]) EXPECT_EQ(reals.random(), value.get<double>());
  for (const json& value : vectors["u32"]) EXPECT_EQ(words.bits32(), value.get<uint32_t>());
  for (size_t i = vectors["u32"].size(); i < 1000; ++i) words.bits32();
  for (const json& value : vectors["u32_after_1000"]) EXPECT_EQ(words.bits32(), value.get<uint32_t>());
  for (const json& pair : vectors["getrandbits"]) {
    EXPECT_EQ(bits.bits(pair[0].get<int>()), pair[1].get<uint64_t>()) << pair;
  }
  for (const json& pair : vectors["getrandbits_wide"]) {
    if (pair[0].get<int>() > 64) break;  // no draw of ours is that wide
    EXPECT_EQ(fmt::to_string(wide.bits(pair[0].get<int>())), pair[1].get<std::string>()) << pair;
  }
  for (const json& draw : vectors["randint"]) {
    EXPECT_EQ(whole.randint(draw[0].get<int64_t>(), draw[1].get<int64_t>()), draw[2].get<int64_t>()) << draw;
  }
  for (const json& draw : vectors["choice_of_n"]) {
    EXPECT_EQ(choices.below(draw[0].get<uint64_t>()), draw[1].get<uint64_t>()) << draw;
  }
  PythonRandom order = start;
  EXPECT_EQ(order.randint(0, int64_t{1} << 31), vectors["dataset_seed"].get<int64_t>());
  if (text.size() < 19) {
    PythonRandom small(std::stoll(text));
    EXPECT_EQ(small.random(), vectors["random"][0].get<double>());
    EXPECT_EQ(dataset_seed(static_cast<uint64_t>(std::stoll(text))), vectors["dataset_seed"].get<int64_t>());
  }
  EXPECT_EQ(mixed.random(), vectors["mixed_sequence"][0].get<double>());
  EXPECT_EQ(mixed.randint(0, 9), vectors["mixed_sequence"][1].get<int64_t>());
  EXPECT_EQ(mixed.random() < 0.5, vectors["mixed_sequence"][2].get<bool>());
  EXPECT_EQ(std::string(1, "abc"[mixed.below(3)]), vectors["mixed_sequence"][3].get<std::string>());
  EXPECT_EQ(mixed.uniform(1, 2), vectors["mixed_sequence"][4].get<double>());
  EXPECT_EQ(mixed.bits(5), vectors["mixed_sequence"][5].get<uint64_t>());
}

TEST(GoldenPythonRandom, equals_cpython) {
  const json file = test::golden_data("python_rng.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no python_rng.json";
  for (const json& vectors : list_of(file, "python")) {
    check_generator(vectors);
    const PythonRandom start(words_of(vectors["seed"].get<std::string>()));
    for (const json& entry : vectors["shuffle"]) {
      PythonRandom random = start;
      const auto want = entry.get<Counts>();
      EXPECT_EQ(shuffled(static_cast<int64_t>(want.size()), random), want) << "seed " << vectors["seed"];
    }
  }
  for (const json& pair : list_of(file, "round_half_even")) {
    EXPECT_EQ(python_round(pair[0].get<double>()), pair[1].get<int64_t>()) << pair;
  }
  const json thousand = list_of(file, "shuffle_1000");
  for (const auto& [seed, want] : thousand.items()) {
    PythonRandom random(std::stoll(seed));
    const Counts items = shuffled(1000, random);
    EXPECT_EQ(Counts(items.begin(), items.begin() + 20), want["first20"].get<Counts>());
    int64_t sum = 0;
    for (size_t i = 0; i < items.size(); ++i) sum += static_cast<int64_t>(i) * items[i];
    EXPECT_EQ(sum, want["sum_i_times_x"].get<int64_t>());
  }
}

void check_bucket_row(const BucketConfig& config, const std::vector<Size>& table, const json& row) {
  SCOPED_TRACE(row.dump());
  const Size image = size_of(row[0]);
  if (row[1].is_string()) {
    EXPECT_THROW(choose_bucket(config, table, image, "image"), UsageError);
    return;
  }
  const BucketChoice choice = choose_bucket(config, table, image, "image");
  EXPECT_EQ(choice.bucket, size_of(row[1]));
  EXPECT_EQ(choice.resized, size_of(row[2]));
  const ResizeCrop crop = centre_crop(choice);
  EXPECT_EQ((Counts{crop.crop_left, crop.crop_top, crop.crop_left + crop.width, crop.crop_top + crop.height}),
            row[3].get<Counts>());
  const auto stored = stored_crop_box(choice.bucket, image);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(stored[i], row[4][i].get<double>(), 1e-9);
  EXPECT_NEAR(ratio_error(choice.bucket, image), row[5].get<double>(), 1e-9);
}

TEST(GoldenBuckets, equal_the_reference) {
  const json file = test::golden_data("buckets.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no buckets.json";
  size_t rows = 0;
  for (const json& set : list_of(file, "sets")) {
    const json& options = set["options"];
    SCOPED_TRACE(options.dump());
    BucketConfig config{size_of(options["resolution"]),  options["enable_bucket"].get<bool>(),
                        options["min"].get<int64_t>(),   options["max"].get<int64_t>(),
                        options["steps"].get<int64_t>(), options["no_upscale"].get<bool>()};
    const auto problem = adjust_bucket_limits(config);
    if (set.contains("error")) {
      const bool is_min = set["error"] == "min_above_resolution";
      ASSERT_TRUE(problem);
      EXPECT_TRUE(problem->starts_with(is_min ? "min_bucket_reso" : "max_bucket_reso")) << *problem;
      continue;
    }
    EXPECT_FALSE(problem);
    if (set.contains("min")) {
      EXPECT_EQ(config.min_side, set["min"].get<int64_t>());
      EXPECT_EQ(config.max_side, set["max"].get<int64_t>());
    }
    const std::vector<Size> table = bucket_table(config);
    if (set.contains("table")) {
      ASSERT_EQ(table.size(), set["table"].size());
      for (size_t i = 0; i < table.size(); ++i) EXPECT_EQ(table[i], size_of(set["table"][i]));
    }
    for (const json& row : set["rows"]) check_bucket_row(config, table, row);
    rows += set["rows"].size();
  }
  fmt::print("buckets.json: {} sets, {} rows\n", list_of(file, "sets").size(), rows);
}

void check_epoch(const DatasetPart& part, const Arrangement& arrangement, const json& want,
                 const std::vector<ImageEntry>& images, int64_t first_image) {
  ASSERT_EQ(arrangement.batches.size(), want["index_order"].size());
  for (size_t i = 0; i < arrangement.batches.size(); ++i) {
    EXPECT_EQ(json({arrangement.batches[i].first, arrangement.batches[i].second}), want["index_order"][i]);
    Counts numbers;
    for (const uint64_t occurrence : batch_items(arrangement, part.config.batch_size, i)) {
      for (const ImageEntry& image : images) {
        if (occurrence >= image.first_occurrence &&
            occurrence < image.first_occurrence + static_cast<uint64_t>(image.repeats)) {
          numbers.push_back(image.index - first_image);
        }
      }
    }
    EXPECT_EQ(numbers, want["batches"][i].get<Counts>());
  }
}

void check_dataset(const Dataset& dataset, const json& want) {
  int64_t first = 0;
  for (size_t d = 0; d < want.size(); ++d) {
    const DatasetPart& part = dataset.parts()[d];
    EXPECT_EQ(part.batch_count(), want[d]["batches_per_epoch"].get<int64_t>());
    int64_t samples = 0;
    for (const json& image : want[d]["images"]) {
      const ImageEntry& entry = dataset.images().at(static_cast<size_t>(first++));
      EXPECT_EQ(entry.key(), image[0].get<std::string>());
      EXPECT_EQ(entry.repeats, image[1].get<int64_t>());
      EXPECT_EQ(entry.geometry.bucket, size_of(image[2]));
      samples += entry.repeats;
    }
    EXPECT_EQ(samples, want[d]["samples_per_epoch"].get<int64_t>());
  }
}

TEST(GoldenEpochs, arrangements_equal_the_reference) {
  const json file = test::golden_data("epochs.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no epochs.json";
  test::WorkingFolder folder;
  folder.copy_golden("data", "tree");
  for (const json& arrangement : list_of(file, "arrangements")) {
    SCOPED_TRACE(arrangement["name"]);
    test::write_text("config.toml", arrangement["config"].get<std::string>());
    DataConfig flags;
    flags.dataset_config = "config.toml";
    for (const json& run : arrangement["runs"]) {
      const auto seed = run["seed"].get<uint64_t>();
      const Dataset dataset = Dataset::build(flags, seed);
      check_dataset(dataset, arrangement["datasets"]);
      ASSERT_EQ(dataset_seed(seed), run["dataset_seed"].get<int64_t>());
      for (size_t epoch = 0; epoch < run["epochs"].size(); ++epoch) {
        SCOPED_TRACE(fmt::format("seed {} epoch {}", seed, epoch));
        int64_t first = 0;
        for (size_t d = 0; d < dataset.parts().size(); ++d) {
          const DatasetPart& part = dataset.parts()[d];
          const Arrangement got = arrange_epoch(part.bucket_occurrences, part.config.batch_size, dataset_seed(seed),
                                                static_cast<int64_t>(epoch));
          check_epoch(part, got, run["epochs"][epoch][d], dataset.images(), first);
          first += static_cast<int64_t>(arrangement["datasets"][d]["images"].size());
        }
      }
    }
  }
}

TEST(GoldenEpochs, splits_equal_the_reference) {
  for (const json& row : list_of(test::golden_data("epochs.json"), "validation_splits")) {
    SCOPED_TRACE(row.dump());
    const SplitParts parts = split_for_validation(row[0].get<int64_t>(), row[1].get<double>(), row[2].get<uint64_t>());
    const auto training = row[3].get<Counts>();
    auto validation = row[4].get<Counts>();
    EXPECT_EQ(parts.training, training);
    // The complement: the reference lists an image at the boundary twice, or not at all.
    std::erase_if(validation, [&](int64_t i) { return std::count(training.begin(), training.end(), i) != 0; });
    ASSERT_GE(parts.validation.size(), validation.size());
    EXPECT_TRUE(std::equal(validation.rbegin(), validation.rend(), parts.validation.rbegin()));
    EXPECT_EQ(static_cast<int64_t>(parts.training.size() + parts.validation.size()), row[0].get<int64_t>());
  }
}

TEST(GoldenEpochs, regularisation_balances_as_the_reference) {
  for (const json& row : list_of(test::golden_data("epochs.json"), "regularisation")) {
    Counts repeats;
    for (const json& group : row["reg_images_x_repeats"]) {
      repeats.insert(repeats.end(), group[0].get<size_t>(), group[1].get<int64_t>());
    }
    EXPECT_EQ(balance_regularisation(repeats, row["num_train_images"].get<int64_t>()),
              row["repeats_of_used_reg_images_in_order"].get<Counts>())
        << row.dump();
  }
}

}  // namespace
}  // namespace loraptor::data
