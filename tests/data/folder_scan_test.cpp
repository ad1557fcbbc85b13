// Scanning folders: sizes and captions, the index of the last scan, changes after it, damaged files.
#include "data/folder_scan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/dataset_build.h"
#include "data/folder_index.h"
#include "data/working_folder.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

const CaptionFileRules kRules{".txt", false, std::nullopt};

/// Files changed just now are never trusted, so tests make them an hour old.
void make_old(const std::string& path, int hours = 1) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
}

void write_pair(const std::string& stem, int64_t width, const std::string& caption, int hours = 1) {
  fs::remove(stem + ".png");
  test::write_image(stem + ".png", width, 20);
  test::write_text(stem + ".txt", caption);
  make_old(stem + ".png", hours);
  make_old(stem + ".txt", hours);
}

std::string described(const std::vector<FolderImage>& images) {
  std::string text;
  for (const FolderImage& image : images) {
    text += fmt::format("{} {} '{}' {}\n", image.path, to_string(image.size), image.caption.text,
                        image.problem         ? "bad"
                        : image.caption.found ? "good"
                                              : "no caption");
  }
  return text;
}

TEST(FolderScan, second_scan_reads_the_index_instead_of_the_files) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  write_pair("a/two", 40, "second");
  const std::string first = described(scan_image_folder("a", kRules, 1));
  EXPECT_EQ(first, "a/one.png 30x20 'first' good\na/two.png 40x20 'second' good\n");
  // An index with other contents but the same stamps shows that it is used.
  auto index = read_folder_index("a");
  ASSERT_EQ(index.size(), 2u);
  index[0].size = {7, 8};
  index[1].caption_text = "remembered";
  write_folder_index("a", index);
  EXPECT_EQ(described(scan_image_folder("a", kRules, 1)),
            "a/one.png 7x8 'first' good\na/two.png 40x20 'remembered' good\n");
}

TEST(FolderScan, edited_added_and_removed_files_are_noticed) {
  test::WorkingFolder folder;
  for (const char* stem : {"a/one", "a/two", "a/three"}) write_pair(stem, 30, "old", 5);
  scan_image_folder("a", kRules, 1);
  write_pair("a/one", 50, "old", 4);
  test::write_text("a/two.txt", "new");  // the same size, another time
  fs::remove("a/three.txt");
  write_pair("a/four", 60, "added", 3);
  EXPECT_EQ(described(scan_image_folder("a", kRules, 1)),
            "a/four.png 60x20 'added' good\na/one.png 50x20 'old' good\na/three.png 30x20 '' no caption\n"
            "a/two.png 30x20 'new' good\n");
  fs::remove("a/one.png");
  EXPECT_EQ(described(scan_image_folder("a", kRules, 1)),
            "a/four.png 60x20 'added' good\na/three.png 30x20 '' no caption\na/two.png 30x20 'new' good\n");
  EXPECT_EQ(read_folder_index("a").size(), 3u);
}

TEST(FolderScan, small_folders_get_no_index) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  scan_image_folder("a", kRules, 2);
  EXPECT_TRUE(read_folder_index("a").empty());
  scan_image_folder("a", kRules, 1);
  EXPECT_EQ(read_folder_index("a").size(), 1U);
}

TEST(FolderScan, files_of_this_moment_are_read_again) {
  test::WorkingFolder folder;
  test::write_image("a/one.png", 30, 20);
  test::write_text("a/one.txt", "one");
  scan_image_folder("a", kRules, 1);
  for (const IndexedImage& image : read_folder_index("a")) {
    EXPECT_EQ(image.image, FileStamp{});
    EXPECT_EQ(image.caption, FileStamp{});
  }
}

TEST(FolderScan, caption_rules_apply_to_what_the_index_holds) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "line 1\nline 2");
  scan_image_folder("a", kRules, 1);
  EXPECT_EQ(scan_image_folder("a", {".txt", true, std::nullopt}, 1)[0].caption.text, "line 1\nline 2");
  const auto other = scan_image_folder("a", {".caption", false, "cat"}, 1);
  EXPECT_EQ(other[0].caption.text, "cat");
  EXPECT_FALSE(other[0].caption.found);
}

TEST(FolderScan, many_images_keep_their_order) {
  test::WorkingFolder folder;
  for (int i = 0; i < 700; ++i) write_pair(fmt::format("a/{:04}", i), 16 + i % 9, fmt::format("caption {}", i));
  const std::string first = described(scan_image_folder("a", kRules, 1));
  EXPECT_NE(first.find("a/0500.png 21x20 'caption 500' good\n"), std::string::npos);
  EXPECT_EQ(described(scan_image_folder("a", kRules, 1)), first);
}

TEST(FormatFolderIndex, damaged_index_is_as_good_as_none) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  const std::string want = described(scan_image_folder("a", kRules, 1));
  const std::string index = read_file("a/.loraptor_scan");
  for (size_t i = 0; i < index.size(); ++i) {
    std::string cut = index.substr(0, i), flipped = index;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x40);
    for (const std::string& damaged : {cut, flipped}) {
      std::ofstream("a/.loraptor_scan", std::ios::binary) << damaged;
      EXPECT_TRUE(read_folder_index("a").empty()) << i;
    }
  }
  EXPECT_EQ(described(scan_image_folder("a", kRules, 1)), want);
}

TEST(FolderScan, unreadable_files_are_gathered_or_end_the_scan) {
  test::WorkingFolder folder;
  write_pair("a/good", 64, "fine");
  write_pair("a/plain", 64, "fine");
  test::write_text("a/broken.png", "no picture");
  test::write_text("a/plain.txt", "");
  test::write_image("a/alone.png", 64, 64);
  DataConfig flags;
  flags.dataset_config = "config.toml";
  test::write_text("config.toml",
                   "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = 'a'\n"
                   "caption_extension = '.txt'\n");
  EXPECT_THROW(scan_datasets(flags), FileError);
  ScanFindings findings;
  const ScannedDatasets scanned = scan_datasets(flags, &findings);
  EXPECT_EQ(scanned.subsets[0][0].images.size(), 2u);
  ASSERT_EQ(findings.unreadable.size(), 2u);
  EXPECT_EQ(findings.unreadable[0].path, "a/broken.png");
  EXPECT_NE(findings.unreadable[1].text.find("got 0 bytes"), std::string::npos);
  EXPECT_EQ(findings.without_caption, (std::vector<std::string>{"a/alone.png"}));
}

TEST(FolderScan, without_buckets_the_model_must_be_able_to_take_the_resolution) {
  test::WorkingFolder folder;
  write_pair("a/good", 64, "fine");
  DataConfig flags;
  flags.dataset_config = "config.toml";
  const std::string subset = "\n[[datasets.subsets]]\nimage_dir = 'a'\ncaption_extension = '.txt'\n";
  test::write_text("config.toml", "[[datasets]]\nresolution = [500, 512]" + subset);
  const auto problems = sides_not_trainable(scan_datasets(flags).config);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_NE(problems[0].find("got 500x512, expected sides divisible by 16"), std::string::npos) << problems[0];
  EXPECT_NE(problems[0].find("use 496x512"), std::string::npos) << problems[0];
  test::write_text("config.toml",
                   "[[datasets]]\nresolution = 500\nenable_bucket = true\nmin_bucket_reso = 256" + subset);
  EXPECT_TRUE(sides_not_trainable(scan_datasets(flags).config).empty());
}

}  // namespace
}  // namespace loraptor::data
