// Names of caches in a folder, and texts of very many images.
#include "data/image_listing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "data/tag_counts.h"
#include "data/text_keeper.h"

namespace loraptor::data {
namespace {

/// 100 stems; every third has caches, of one to three sizes.
struct CachedFolder {
  std::vector<std::string> stems;
  FolderListing listing;

  CachedFolder() {
    for (int i = 0; i < 100; ++i) stems.push_back(fmt::format("{:03}", i));
    for (size_t i = 0; i < stems.size(); i += 3) {
      for (int64_t k = 0; k <= static_cast<int64_t>(i % 7) / 3; ++k) {
        listing.cached_sizes.push_back({stems[i], {static_cast<int64_t>(i), 10 + k}});
      }
    }
  }

  Size expected(size_t i, const Size& header) const {
    if (i % 3 != 0) return header;
    const Size first{static_cast<int64_t>(i), 10};
    const bool has_header =
        header.width == first.width && header.height >= 10 && header.height <= 10 + static_cast<int64_t>(i % 7) / 3;
    return has_header ? header : first;
  }

  /// Asks for the images in this order, one search after the other.
  void expect_found(const std::vector<size_t>& order) const {
    size_t place = 0;
    for (const size_t i : order) {
      for (const Size& header : {Size{500, 500}, Size{static_cast<int64_t>(i), 11}}) {
        EXPECT_EQ(listing.size_with_caches(stems[i] + ".png", header, place), expected(i, header)) << "image " << i;
      }
    }
  }
};

TEST(FolderListing, caches_are_found_in_any_order) {
  const CachedFolder folder;
  std::vector<size_t> order(folder.stems.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  folder.expect_found(order);
  std::reverse(order.begin(), order.end());
  folder.expect_found(order);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  folder.expect_found(order);
  folder.expect_found({0, 99, 0, 97, 98, 3});
}

TEST(FolderListing, a_folder_without_caches_leaves_sizes_as_they_are) {
  size_t place = 0;
  EXPECT_EQ(FolderListing().size_with_caches("a.png", {3, 4}, place), (Size{3, 4}));
}

TEST(TextKeeper, texts_stay_as_they_were) {
  TextKeeper keeper;
  std::vector<std::string_view> kept;
  std::vector<std::string> texts;
  for (size_t i = 0; i < 3000; ++i) texts.push_back(std::string(i % 500, static_cast<char>('a' + i % 26)));
  texts.push_back(std::string(1 << 20, 'x'));  // larger than a piece
  for (const std::string& text : texts) kept.push_back(keeper.keep(text));
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(kept[i], texts[i]);
  EXPECT_EQ(keeper.keep("folder/", "name"), "folder/name");
  EXPECT_EQ(keeper.keep("", "name"), "name");
  EXPECT_EQ(keeper.keep(""), "");
}

TEST(CountTags, parts_are_added_up) {
  std::vector<std::string_view> texts;
  for (int i = 0; i < 12'000; ++i) texts.push_back(i % 2 == 0 ? "Cat, dog ,,cat" : " dog");
  const std::map<std::string, int64_t> want{{"cat", 12'000}, {"dog", 12'000}};
  EXPECT_EQ(count_tags(texts), want);
  EXPECT_TRUE(count_tags({}).empty());
}

}  // namespace
}  // namespace loraptor::data
