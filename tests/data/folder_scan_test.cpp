// Scanning folders: sizes and captions, the index of the last scan, changes after it, damaged files.
#include "data/folder_scan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/dataset_build.h"
#include "data/folder_index.h"
#include "data/image_listing.h"
#include "data/working_folder.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

const CaptionFileRules kRules{".txt", false, std::nullopt};
const FolderScanOptions kAlways{.index_from = 1};
constexpr int64_t kShortNs = 20'000'000;  // instead of the two seconds after which a change shows
const FolderScanOptions kQuick{.index_from = 1, .settled_ns = kShortNs};

void settle() { std::this_thread::sleep_for(std::chrono::nanoseconds(2 * kShortNs)); }

std::vector<IndexedImage> images_of(const FolderIndex& index) {
  std::vector<IndexedImage> images;
  for (size_t i = 0; i < index.size(); ++i) images.push_back(index[i]);
  return images;
}

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

std::string described(const FolderContent& content) {
  std::string text;
  for (const ScannedImage& image : content.found.images) {
    const bool has_none = std::ranges::count(content.without_caption, image.path) > 0;
    text += fmt::format("{} {} '{}' {}\n", image.path, to_string(image.size), image.caption,
                        has_none ? "no caption" : "good");
  }
  for (const UnreadableImage& image : content.unreadable) text += fmt::format("{} bad\n", image.path);
  return text;
}

TEST(FolderScan, second_scan_reads_the_index_instead_of_the_files) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  write_pair("a/two", 40, "second");
  const std::string first = described(scan_image_folder("a", kRules, kAlways));
  EXPECT_EQ(first, "a/one.png 30x20 'first' good\na/two.png 40x20 'second' good\n");
  // An index with other contents but the same stamps shows that it is used.
  const FolderIndex index = FolderIndex::read("a");
  auto images = images_of(index);
  ASSERT_EQ(images.size(), 2u);
  images[0].size = {7, 8};
  images[1].caption_text = "remembered";
  write_folder_index("a", ".txt", std::vector<const IndexedImage*>{&images[0], &images[1]}, 0);
  EXPECT_EQ(described(scan_image_folder("a", kRules, kAlways)),
            "a/one.png 7x8 'first' good\na/two.png 40x20 'remembered' good\n");
}

TEST(FolderScan, edited_added_and_removed_files_are_noticed) {
  test::WorkingFolder folder;
  for (const char* stem : {"a/one", "a/two", "a/three"}) write_pair(stem, 30, "old", 5);
  scan_image_folder("a", kRules, kAlways);
  write_pair("a/one", 50, "old", 4);
  test::write_text("a/two.txt", "new");  // the same size, another time
  fs::remove("a/three.txt");
  write_pair("a/four", 60, "added", 3);
  EXPECT_EQ(described(scan_image_folder("a", kRules, kAlways)),
            "a/four.png 60x20 'added' good\na/one.png 50x20 'old' good\na/three.png 30x20 '' no caption\n"
            "a/two.png 30x20 'new' good\n");
  fs::remove("a/one.png");
  EXPECT_EQ(described(scan_image_folder("a", kRules, kAlways)),
            "a/four.png 60x20 'added' good\na/three.png 30x20 '' no caption\na/two.png 30x20 'new' good\n");
  EXPECT_EQ(FolderIndex::read("a").size(), 3u);
}

TEST(FolderScan, folder_that_cannot_be_listed_ends_the_scan) {
  test::WorkingFolder folder;
  EXPECT_THROW(scan_image_folder("none", kRules, kAlways), FileError);
}

TEST(FolderScan, small_folders_get_no_index) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  scan_image_folder("a", kRules, {.index_from = 2});  // its size on the disk might be that of two images
  EXPECT_EQ(FolderIndex::read("a").size(), 0U);
  EXPECT_FALSE(fs::exists("a/.loraptor"));
  scan_image_folder("a", kRules, kAlways);
  EXPECT_EQ(FolderIndex::read("a").size(), 1U);
}

TEST(FolderScan, files_of_this_moment_are_read_again) {
  test::WorkingFolder folder;
  test::write_image("a/one.png", 30, 20);
  test::write_text("a/one.txt", "one");
  scan_image_folder("a", kRules, kAlways);
  const FolderIndex index = FolderIndex::read("a");
  EXPECT_EQ(index.size(), 1U);
  for (const IndexedImage& image : images_of(index)) {
    EXPECT_EQ(image.image, FileStamp{});
    EXPECT_EQ(image.caption, FileStamp{});
  }
}

TEST(FolderScan, caption_rules_apply_to_what_the_index_holds) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "line 1\nline 2");
  scan_image_folder("a", kRules, kAlways);
  EXPECT_EQ(scan_image_folder("a", {".txt", true, std::nullopt}, kAlways).found.images[0].caption, "line 1\nline 2");
  const auto other = scan_image_folder("a", {".caption", false, "cat"}, kAlways);
  EXPECT_EQ(other.found.images[0].caption, "cat");
  EXPECT_EQ(other.without_caption, (std::vector<std::string>{"a/one.png"}));
}

TEST(FolderScan, many_images_keep_their_order) {
  test::WorkingFolder folder;
  for (int i = 0; i < 700; ++i) write_pair(fmt::format("a/{:04}", i), 16 + i % 9, fmt::format("caption {}", i));
  const std::string first = described(scan_image_folder("a", kRules, kAlways));
  EXPECT_NE(first.find("a/0500.png 21x20 'caption 500' good\n"), std::string::npos);
  EXPECT_EQ(described(scan_image_folder("a", kRules, kAlways)), first);
  fs::remove_all("a/.loraptor");
  EXPECT_EQ(described(scan_image_folder("a", kRules, {.index_from = SIZE_MAX})), first);  // nothing is read ahead
}

TEST(FolderScan, folder_that_did_not_change_is_not_listed) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  write_pair("a/two_1_2_3_4", 40, "second");
  test::write_text("a/two.txt", "of the face");
  fs::remove("a/two_1_2_3_4.txt");
  test::write_text("a/one_0064x0032_sd3.npz", "");
  settle();
  const std::string first = described(scan_image_folder("a", kRules, kQuick));
  EXPECT_EQ(first, "a/one.png 64x32 'first' good\na/two_1_2_3_4.png 40x20 'of the face' good\n");
  const int64_t changed_ns = FolderIndex::read("a").folder_changed_ns();
  EXPECT_NE(changed_ns, 0);  // writing the index did not change the folder
  EXPECT_EQ(described(scan_image_folder("a", kRules, kQuick)), first);
  write_pair("a/one", 50, "edited");  // puts a new file in the place of the old one
  settle();
  EXPECT_EQ(described(scan_image_folder("a", kRules, kQuick)).substr(0, 25), "a/one.png 64x32 'edited' ");
  EXPECT_GT(FolderIndex::read("a").folder_changed_ns(), changed_ns);
}

TEST(FolderScan, folder_that_changed_just_now_is_listed_once_more) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  settle();
  fs::create_directory("a/.loraptor");
  scan_image_folder("a", kRules, kQuick);  // the folder changed too short a time before
  EXPECT_EQ(FolderIndex::read("a").folder_changed_ns(), 0);
  settle();
  scan_image_folder("a", kRules, kQuick);
  EXPECT_NE(FolderIndex::read("a").folder_changed_ns(), 0);
}

/// What a change of the folder leads to after it was known not to need listing.
std::string after(const std::function<void()>& change) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  write_pair("a/two", 40, "second");
  for (int i = 0; i < 2; ++i) {
    settle();
    scan_image_folder("a", kRules, kQuick);
  }
  EXPECT_NE(FolderIndex::read("a").folder_changed_ns(), 0);
  change();
  std::string found = described(scan_image_folder("a", kRules, kQuick));
  EXPECT_EQ(described(scan_image_folder("a", kRules, kQuick)), found);
  return found;
}

TEST(FolderScan, changes_are_noticed_where_the_folder_was_not_to_be_listed) {
  const std::string one = "a/one.png 30x20 'first' good\n", two = "a/two.png 40x20 'second' good\n";
  EXPECT_EQ(after([] {}), one + two);
  EXPECT_EQ(after([] { fs::remove("a/one.png"); }), two);
  EXPECT_EQ(after([] { fs::remove("a/two.txt"); }), one + "a/two.png 40x20 '' no caption\n");
  EXPECT_EQ(after([] { test::write_image("a/new.png", 50, 20); }), "a/new.png 50x20 '' no caption\n" + one + two);
  EXPECT_EQ(after([] { std::ofstream("a/two.txt") << "in its place"; }), one + "a/two.png 40x20 'in its place' good\n");
  EXPECT_EQ(after([] { test::write_text("a/one_0064x0032_sd3.npz", ""); }), "a/one.png 64x32 'first' good\n" + two);
  EXPECT_EQ(after([] { fs::rename("a/two.txt", "a/three.txt"); }), one + "a/two.png 40x20 '' no caption\n");
}

TEST(FolderScan, image_that_cannot_be_read_is_known_by_its_cache) {
  test::WorkingFolder folder;
  test::write_text("a/broken.png", "no picture");
  test::write_text("a/broken.txt", "caption");
  test::write_text("a/other.png", "no picture either");
  test::write_text("a/broken_0640x0480_sd3.npz", "");
  for (int i = 0; i < 3; ++i) {
    settle();
    EXPECT_EQ(described(scan_image_folder("a", kRules, kQuick)),
              "a/broken.png 640x480 'caption' good\na/other.png bad\n");
  }
}

TEST(FolderScan, exif_orientations_are_told_once) {
  test::WorkingFolder folder;
  write_pair("a/plain", 30, "fine");
  const std::string exif("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0", 26);
  std::string png = read_file("a/plain.png");
  png.insert(33, std::string("\0\0\0", 3) + static_cast<char>(exif.size()) + "eXIf" + exif + "\1\2\3\4");
  test::write_text("a/turned.png", png);
  for (int i = 0; i < 3; ++i) {
    settle();
    const auto found = scan_image_folder("a", kRules, kQuick).found;
    EXPECT_FALSE(found.images[0].is_turned);
    EXPECT_TRUE(found.images[1].is_turned);
  }
  DataConfig flags;
  flags.dataset_config = "config.toml";
  test::write_text("config.toml", "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = 'a'\n");
  ScanFindings findings;
  scan_datasets(flags, &findings);
  EXPECT_EQ(findings.turned, (std::vector<std::string>{"a/turned.png"}));
  testing::internal::CaptureStderr();
  scan_datasets(flags);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("1 images carry an EXIF orientation"), std::string::npos) << log;
}

TEST(FolderScan, folders_with_links_are_always_listed) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  test::write_text("elsewhere.txt", "linked");
  fs::create_symlink("../elsewhere.txt", "a/other.txt");
  for (int i = 0; i < 2; ++i) {
    settle();
    scan_image_folder("a", kRules, kQuick);
  }
  EXPECT_EQ(FolderIndex::read("a").size(), 1U);
  EXPECT_EQ(FolderIndex::read("a").folder_changed_ns(), 0);
}

TEST(FolderScan, names_are_sorted_by_their_bytes) {
  std::vector<std::string_view> names{
      "ab.png", "a", "ab", "a\xc3\xa4", "aB", "ab_longer_than_eight_2", "ab_longer_than_eight_10"};
  std::vector<std::string_view> want = names;
  std::sort(want.begin(), want.end());
  const std::vector<std::string_view> before = names;
  const std::vector<uint32_t> places = sort_names(names);
  EXPECT_EQ(names, want);
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(before[places[i]], names[i]);
}

TEST(FormatFolderIndex, damaged_index_is_as_good_as_none) {
  test::WorkingFolder folder;
  write_pair("a/one", 30, "first");
  const std::string want = described(scan_image_folder("a", kRules, kAlways));
  const std::string index = read_file("a/.loraptor/scan");
  constexpr size_t kStampBytes = 16;
  for (size_t i = 0; i < index.size(); ++i) {
    std::string cut = index.substr(0, i), flipped = index;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x40);
    for (const std::string& damaged : {cut, flipped}) {
      std::ofstream("a/.loraptor/scan", std::ios::binary) << damaged;
      // The end says only whether the folder must be listed.
      const FolderIndex read = FolderIndex::read("a");
      EXPECT_EQ(read.size(), damaged.size() == index.size() && i + kStampBytes >= index.size() ? 1U : 0U) << i;
      EXPECT_EQ(read.folder_changed_ns(), 0) << i;
    }
  }
  EXPECT_EQ(described(scan_image_folder("a", kRules, kAlways)), want);
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
