// Data set descriptions: precedence, messages, files that cannot be read.
#include "data/dataset_toml.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "data/working_folder.h"

namespace loraptor::data {
namespace {

DatasetsConfig load(const std::string& text, DataConfig& flags) {
  test::WorkingFolder folder;
  test::write_text("config.toml", text);
  flags.dataset_config = "config.toml";
  return load_datasets_config(flags);
}

DatasetsConfig load(const std::string& text) {
  DataConfig flags;
  return load(text, flags);
}

std::string message_of(const std::string& text) {
  try {
    load(text);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(DatasetToml, subset_beats_data_set_beats_general_beats_flag) {
  DataConfig flags;
  flags.keep_tokens = 1;
  const DatasetsConfig config = load(
      "[general]\nkeep_tokens = 2\nresolution = 64\n[[datasets]]\nkeep_tokens = 3\n[[datasets.subsets]]\n"
      "image_dir = 'a'\nkeep_tokens = 4\n[[datasets.subsets]]\nimage_dir = 'b'\n[[datasets]]\n"
      "[[datasets.subsets]]\nimage_dir = 'c'\n",
      flags);
  EXPECT_EQ(config.datasets[0].subsets[0].caption.keep_tokens, 4);
  EXPECT_EQ(config.datasets[0].subsets[1].caption.keep_tokens, 3);
  EXPECT_EQ(config.datasets[1].subsets[0].caption.keep_tokens, 2);
  const DatasetsConfig plain = load("[[datasets]]\nresolution=64\n[[datasets.subsets]]\nimage_dir='c'\n", flags);
  EXPECT_EQ(plain.datasets[0].subsets[0].caption.keep_tokens, 1);
}

TEST(FormatDatasetToml, nesting_without_end_is_refused) {
  std::string key = "a";
  for (int i = 0; i < 30000; ++i) key += ".a";
  EXPECT_NE(message_of(key + " = 1\n").find("64 parts"), std::string::npos);
  EXPECT_NE(message_of("x = " + std::string(30000, '[') + std::string(30000, ']')), "");
  const std::string dots(200, '.');
  EXPECT_EQ(message_of("# it's " + dots +
                       "\n[[datasets]]\nresolution=64\n[[datasets.subsets]]\nimage_dir='c'\n"
                       "caption_prefix = \"a \\\" " +
                       dots + "\"\ncaption_suffix = '" + dots + "'\n"),
            "");
  test::WorkingFolder folder;
  test::write_text("config.json", "{\"datasets\": " + std::string(30000, '[') + std::string(30000, ']') + "}");
  DataConfig flags;
  flags.dataset_config = "config.json";
  EXPECT_THROW(load_datasets_config(flags), FileError);
}

TEST(DatasetToml, an_explicit_false_beats_the_flag) {
  DataConfig flags;
  flags.flip_aug = true;
  const auto config =
      load("[general]\nflip_aug = false\n[[datasets]]\nresolution=64\n[[datasets.subsets]]\nimage_dir='c'\n", flags);
  EXPECT_FALSE(config.datasets[0].subsets[0].flip_aug);
}

TEST(DatasetToml, lists_all_problems_with_file_line_and_key) {
  const std::string message = message_of(
      "[general]\nshufle_caption = true\n[[datasets]]\nbucket_reso_steps = 48\nenable_bucket = true\n"
      "[[datasets.subsets]]\nflip_aug = 1\nbatch_size = 2\n");
  EXPECT_NE(message.find("[config.toml, line 2, general.shufle_caption] unknown key"), std::string::npos) << message;
  EXPECT_NE(message.find("shuffle_caption"), std::string::npos) << message;
  EXPECT_NE(message.find("line 7, datasets[0].subsets[0].flip_aug] wrong type: got the whole number 1"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("'batch_size' belongs in [general] or [[datasets]]"), std::string::npos) << message;
  EXPECT_NE(message.find("resolution: got none"), std::string::npos) << message;
  EXPECT_NE(message.find("missing key: got no 'image_dir'"), std::string::npos) << message;
}

TEST(DatasetToml, says_where_a_mask_folder_is_read) {
  const std::string message =
      message_of("[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = 'a'\nconditioning_data_dir = 'b'\n");
  EXPECT_NE(message.find("--masked_loss"), std::string::npos) << message;
}

TEST(FormatDatasetToml, broken_files_are_refused_with_line_and_reason) {
  EXPECT_NE(message_of("[[datasets]\n").find("[config.toml] line 1"), std::string::npos) << message_of("[[datasets]\n");
  test::WorkingFolder folder;
  test::write_text("broken.json", "{\"datasets\": [");
  DataConfig flags;
  flags.dataset_config = "broken.json";
  EXPECT_THROW(load_datasets_config(flags), FileError);
  flags.dataset_config = "absent.toml";
  EXPECT_THROW(load_datasets_config(flags), FileError);
  flags.dataset_config = "config.yaml";
  EXPECT_THROW(load_datasets_config(flags), UsageError);
}

TEST(DatasetToml, finds_what_cannot_be_cached) {
  const auto config = load(
      "[[datasets]]\nresolution=64\n[[datasets.subsets]]\nimage_dir='a'\ncolor_aug=true\n[[datasets.subsets]]\n"
      "image_dir='b'\nshuffle_caption=true\n");
  ASSERT_EQ(latents_not_cacheable(config).size(), 1u);
  EXPECT_NE(latents_not_cacheable(config)[0].find("'a'"), std::string::npos);
  ASSERT_EQ(text_not_cacheable(config).size(), 1u);
  EXPECT_NE(text_not_cacheable(config)[0].find("'b'"), std::string::npos);
}

}  // namespace
}  // namespace loraptor::data
