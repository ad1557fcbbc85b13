// What `loraptor dataset` finds out: counts, caption lengths, and everything that is wrong.
#include "pipeline/dataset_report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/working_folder.h"
#include "pipeline/dataset_report_preview.h"

namespace loraptor::pipeline {
namespace {

data::DataConfig describe(const std::string& dataset, const std::vector<std::string>& subsets) {
  std::string text = "[[datasets]]\n" + dataset + "\n";
  for (const auto& subset : subsets) text += "[[datasets.subsets]]\n" + subset + "\n";
  test::write_text("config.toml", text);
  data::DataConfig flags;
  flags.dataset_config = "config.toml";
  return flags;
}

constexpr const char* kBuckets =
    "resolution = 64\nbatch_size = 2\nenable_bucket = true\nmin_bucket_reso = 32\nmax_bucket_reso = 128\n"
    "bucket_reso_steps = 32";

void write_pair(const std::string& name, int64_t width, int64_t height, uint8_t value, const std::string& caption) {
  test::write_image(name + ".png", width, height, value);
  test::write_text(name + ".caption", caption);
}

DatasetReport examine(const data::DataConfig& flags, DatasetReportOptions options = {}) {
  if (options.tokenizers.installed.empty()) options.tokenizers = text::default_tokenizer_search();
  return examine_dataset(flags, options);
}

/// The finding whose text holds `part`, or an empty one.
Finding find(const DatasetReport& report, const std::string& part) {
  for (const Finding& finding : report.findings) {
    if (finding.text.find(part) != std::string::npos) return finding;
  }
  return {};
}

std::set<std::string> files_of(const Finding& finding) {
  std::set<std::string> names;
  for (const auto& file : finding.files) names.insert(file.path);
  return names;
}

using Names = std::set<std::string>;

TEST(DatasetReport, a_good_set_has_tables_and_no_findings) {
  test::WorkingFolder folder;
  for (int i = 0; i < 4; ++i) write_pair(fmt::format("a/{}", i), 96, 96, static_cast<uint8_t>(i), "cat, photo");
  for (int i = 0; i < 3; ++i) write_pair(fmt::format("b/{}", i), 192, 64, static_cast<uint8_t>(9 + i), "dog");
  const DatasetReport report =
      examine(describe(kBuckets, {"image_dir = 'a'\nnum_repeats = 3", "image_dir = 'b'\nis_reg = true"}));
  for (const Finding& finding : report.findings) ADD_FAILURE() << finding.text;
  EXPECT_EQ(report.compared, 7);
  const auto subsets = summarize_subsets(report.groups);
  ASSERT_EQ(subsets.size(), 2u);
  EXPECT_EQ(subsets[0].images, 4);
  EXPECT_EQ(subsets[0].samples, 12);
  EXPECT_TRUE(subsets[1].is_reg);
  EXPECT_EQ(subsets[1].samples, 12);
  int64_t samples = 0, batches = 0;
  const auto buckets = summarize_buckets(report.groups.training);
  ASSERT_EQ(buckets.size(), 2u);
  for (const auto& bucket : buckets) {
    samples += bucket.samples;
    batches += bucket.batches;
    for (const int64_t image : bucket.images) {
      EXPECT_EQ(report.groups.training.images()[static_cast<size_t>(image)].geometry.bucket, bucket.size);
    }
  }
  EXPECT_EQ(samples, 24);
  EXPECT_EQ(batches, report.groups.training.batches_per_epoch());
}

TEST(DatasetReport, files_that_cannot_be_used_are_problems_and_are_left_out) {
  test::WorkingFolder folder;
  write_pair("a/good", 96, 96, 1, "a cat");
  write_pair("a/truncated", 96, 96, 2, "a cat");
  const std::string bytes = read_file("a/truncated.png");
  test::write_text("a/truncated.png", bytes.substr(0, bytes.size() - 30));
  test::write_text("a/no_image.png", "this is text");
  write_pair("a/empty_caption", 96, 96, 3, "");
  write_pair("a/thin", 2000, 3, 4, "a line");
  const auto flags = describe(std::string(kBuckets) + "\nbucket_no_upscale = true", {"image_dir = 'a'"});
  const DatasetReport report = examine(flags);
  EXPECT_EQ(files_of(find(report, "captions that cannot be read")), (Names{"a/no_image.png", "a/empty_caption.png"}));
  EXPECT_EQ(files_of(find(report, "cannot be decoded")), (Names{"a/truncated.png"}));
  EXPECT_EQ(files_of(find(report, "fit no bucket")), (Names{"a/thin.png"}));
  ASSERT_EQ(report.groups.training.images().size(), 1u);
  EXPECT_EQ(report.groups.training.images()[0].stem(), "good");
  EXPECT_EQ(report.problems(), 3);
  const DatasetReport quick = examine(flags, {.headers_only = true});
  EXPECT_EQ(quick.compared, 0);
  EXPECT_TRUE(find(quick, "cannot be decoded").files.empty());
  EXPECT_EQ(quick.groups.training.images().size(), 2u);
}

TEST(DatasetReport, copies_missing_captions_and_small_images_are_named) {
  test::WorkingFolder folder;
  write_pair("a/first", 96, 96, 1, "one");
  write_pair("b/copy", 96, 96, 1, "two");
  test::write_image("a/silent.png", 96, 96, 2);
  write_pair("a/small", 60, 60, 3, "three");
  write_pair("a/tiny", 32, 32, 4, "four");
  const DatasetReport report = examine(describe(kBuckets, {"image_dir = 'a'", "image_dir = 'b'"}));
  const Finding copies = find(report, "same content");
  EXPECT_TRUE(copies.is_problem);
  ASSERT_EQ(copies.files.size(), 1u);
  EXPECT_EQ(copies.files[0].path, "b/copy.png");
  EXPECT_NE(copies.files[0].text.find("a/first.png"), std::string::npos);
  EXPECT_EQ(files_of(find(report, "without caption")), (Names{"a/silent.png"}));
  const Finding tiny = find(report, "twice their size"), small = find(report, "enlarged a little");
  EXPECT_TRUE(tiny.is_problem);
  EXPECT_FALSE(small.is_problem);
  EXPECT_EQ(files_of(tiny), (Names{"a/tiny.png"}));
  EXPECT_EQ(files_of(small), (Names{"a/small.png"}));
  // Notes come last, and do not count.
  EXPECT_FALSE(report.findings.back().is_problem);
  EXPECT_EQ(report.problems(), 3);
}

TEST(DatasetReport, one_file_in_two_data_sets_is_no_copy) {
  test::WorkingFolder folder;
  write_pair("a/x", 128, 128, 1, "one");
  describe("resolution = 64", {"image_dir = 'a'"});
  const std::string one = read_file("config.toml");
  test::write_text("config.toml", one + one);
  data::DataConfig flags;
  flags.dataset_config = "config.toml";
  const DatasetReport report = examine(flags);
  EXPECT_EQ(report.compared, 1);
  EXPECT_EQ(report.problems(), 0);
  EXPECT_EQ(report.groups.training.images().size(), 2u);
}

TEST(DatasetReport, subsets_that_are_left_out_are_problems) {
  test::WorkingFolder folder;
  write_pair("a/x", 128, 128, 1, "one");
  std::filesystem::create_directory("empty");
  const DatasetReport report =
      examine(describe("resolution = 64", {"image_dir = 'a'", "image_dir = 'gone'", "image_dir = 'empty'",
                                           "image_dir = 'a'", "image_dir = 'b'\nnum_repeats = 0"}));
  EXPECT_EQ(find(report, "subsets").files.size(), 4u);
  const DatasetReport nothing = examine(describe("resolution = 64", {"image_dir = 'gone'"}));
  EXPECT_TRUE(find(nothing, "nothing to train on").is_problem);
  EXPECT_TRUE(summarize_buckets(nothing.groups.training).empty());
}

TEST(DatasetReport, masks_have_to_be_there_and_to_fit) {
  test::WorkingFolder folder;
  for (const char* name : {"fits", "other_size", "no_mask"}) write_pair(std::string("a/") + name, 64, 64, name[0], "x");
  test::write_image("m/fits.png", 64, 64);
  test::write_image("m/other_size.png", 64, 32);
  test::write_image("m/no_image.png", 64, 64);
  auto flags = describe("resolution = 64", {"image_dir = 'a'\nconditioning_data_dir = 'm'"});
  flags.masked_loss = true;
  const DatasetReport report = examine(flags);
  EXPECT_EQ(files_of(find(report, "counterpart")), (Names{"a/no_mask.png", "m/no_image.png"}));
  EXPECT_EQ(files_of(find(report, "mask of another size")), (Names{"a/other_size.png"}));
  EXPECT_EQ(report.groups.training.images().size(), 1u);
  // Training itself stops.
  EXPECT_THROW(data::Dataset::build(flags, 0), UsageError);
}

TEST(DatasetReport, caption_lengths_are_those_that_encoders_see) {
  test::WorkingFolder folder;
  std::string words;
  for (int i = 0; i < 90; ++i) words += "cat ";
  write_pair("a/long", 64, 64, 1, words);
  write_pair("a/short", 64, 64, 2, "cat");
  const std::string subset = "image_dir = 'a'\ncaption_prefix = 'photo'\ncaption_dropout_rate = 1.0";
  const DatasetReport report = examine(describe("resolution = 64", {subset}), {.t5_length = 64});
  if (report.lengths.empty()) GTEST_SKIP() << "no tokenizer vocabularies are installed";
  ASSERT_EQ(report.lengths.size(), 3u);
  const auto tokens_of = [](const DatasetReport& of, size_t encoder, const std::string& stem) {
    for (const auto& image : of.groups.training.images()) {
      if (image.stem() == stem) return of.lengths[encoder].tokens[static_cast<size_t>(image.index)];
    }
    return int64_t{-1};
  };
  // Start, "photo", the cats, end. Captions that are dropped at times are measured whole.
  for (const size_t clip : {0, 1}) {
    EXPECT_EQ(tokens_of(report, clip, "long"), 93);
    EXPECT_EQ(tokens_of(report, clip, "short"), 4);
    EXPECT_EQ(report.lengths[clip].cut(), 1);
  }
  EXPECT_FALSE(find(report, "CLIP-L takes").is_problem);
  EXPECT_EQ(files_of(find(report, "CLIP-L takes")), (Names{"a/long.png"}));
  EXPECT_TRUE(find(report, "T5 takes").is_problem);
  const DatasetReport wide = examine(describe("resolution = 64", {subset}), {.stored_captions = true});
  EXPECT_EQ(tokens_of(wide, 0, "short"), 3);
  EXPECT_FALSE(find(wide, "T5 takes").is_problem);
}

TEST(DatasetReport, without_tokenizers_there_is_a_note) {
  test::WorkingFolder folder;
  write_pair("a/x", 64, 64, 1, "cat");
  DatasetReportOptions options;
  options.tokenizers.installed = {"nowhere"};
  const DatasetReport report = examine(describe("resolution = 64", {"image_dir = 'a'"}), options);
  EXPECT_TRUE(report.lengths.empty());
  EXPECT_EQ(report.problems(), 0);
  EXPECT_NE(find(report, "caption lengths are left out").text.find("nowhere"), std::string::npos);
}

TEST(DatasetReport, images_set_aside_are_counted_by_subset) {
  test::WorkingFolder folder;
  for (int i = 0; i < 10; ++i) write_pair(fmt::format("a/{}", i), 64, 64, static_cast<uint8_t>(i), "cat");
  for (int i = 0; i < 4; ++i) write_pair(fmt::format("b/{}", i), 64, 64, static_cast<uint8_t>(20 + i), "dog");
  const DatasetReport report =
      examine(describe("resolution = 64\nvalidation_split = 0.5", {"image_dir = 'a'", "image_dir = 'b'"}), {.seed = 3});
  const auto subsets = summarize_subsets(report.groups);
  ASSERT_EQ(subsets.size(), 2u);
  EXPECT_EQ(subsets[0].set_aside, 5);
  EXPECT_EQ(subsets[1].set_aside, 2);
  EXPECT_EQ(report.groups.validation.images().size(), 7u);
  const DatasetReport whole = examine(describe("resolution = 64\nvalidation_split = 1.0", {"image_dir = 'b'"}));
  const auto aside = summarize_subsets(whole.groups);
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_EQ(aside[0].source, "b");
  EXPECT_EQ(aside[0].images, 0);
  EXPECT_EQ(aside[0].set_aside, 4);
}

TEST(DatasetReport, previews_show_what_is_cut_out) {
  test::WorkingFolder folder;
  test::write_image("a/x.png", 256, 64, 200);
  const DatasetReport report = examine(describe("resolution = 64", {"image_dir = 'a'\nclass_tokens = 'x'"}));
  const auto& training = report.groups.training;
  const io::Image whole = preview(training, training.images()[0], 100),
                  small = preview(training, training.images()[0], 16);
  EXPECT_EQ((std::pair{whole.width, whole.height}), (std::pair<int64_t, int64_t>{64, 64}));
  EXPECT_EQ((std::pair{small.width, small.height}), (std::pair<int64_t, int64_t>{16, 16}));
  EXPECT_NEAR(small.pixels[0], 200, 1);
}

}  // namespace
}  // namespace loraptor::pipeline
