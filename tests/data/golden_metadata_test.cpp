// Metadata lists, metadata_cache.json and sizes from cache names against the reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/subset_scan.h"
#include "data/working_folder.h"
#include "support/golden.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

SubsetConfig subset_of(const json& settings) {
  SubsetConfig subset;
  for (const auto& [name, value] : settings.items()) {
    if (value.is_null()) continue;
    if (name == "image_dir") subset.image_dir = value;
    if (name == "metadata_file") subset.metadata_file = value;
    if (name == "caption_extension") subset.caption_extension = value;
    if (name == "class_tokens") subset.class_tokens = value.get<std::string>();
    if (name == "cache_info") subset.cache_info = value;
    if (name == "num_repeats") subset.num_repeats = value;
    if (name == "enable_wildcard") subset.caption.enable_wildcard = value;
    if (name == "caption_separator") subset.caption.caption_separator = value;
  }
  return subset;
}

/// The reference loses the tags of images without a caption when wildcards are on, and adds a separator for empty tags.
void expect_caption(const ScannedImage& image, const std::string& want, const SubsetConfig& subset) {
  if (image.caption == want) return;
  const bool kept_tags = want.empty() && image.caption == image.tags;
  const bool no_separator = std::string(image.caption) + subset.caption.caption_separator == want;
  EXPECT_TRUE(subset.caption.enable_wildcard && (kept_tags || no_separator))
      << "got '" << image.caption << "', expected '" << want << "'";
}

void check_images(const std::vector<ScannedImage>& images, const json& entry, const SubsetConfig& subset) {
  ASSERT_EQ(images.size(), entry["images"].size());
  // The recorded sizes of images whose defect is to be mended come from another image's cache.
  const bool wrong_size = entry.value("note", "").find("is required instead") != std::string::npos;
  for (size_t i = 0; i < images.size(); ++i) {
    const json& want = entry["images"][i];
    EXPECT_EQ(images[i].key(), want["key"].get<std::string>());
    EXPECT_EQ(images[i].path, want["path"].get<std::string>());
    expect_caption(images[i], want["caption"].get<std::string>(), subset);
    const json size{images[i].size.width, images[i].size.height};
    if (wrong_size && size != want["size"]) {
      EXPECT_EQ(size, json({64, 64})) << want["key"];
    } else {
      EXPECT_EQ(size, want["size"]) << want["key"];
    }
  }
}

/// True if the reference's own result is one that makes no sense: a caption that is no text, a size of one number.
bool is_nonsense(const json& entry) {
  for (const json& image : entry.value("images", json::array())) {
    if (!image["caption"].is_string() || image["size"].size() != 2) return true;
  }
  return false;
}

TEST(GoldenMetadata, lists_are_read_as_by_the_reference) {
  const json cases = test::list_of(test::golden_data("metadata_files/expected.json"), "cases");
  if (cases.empty()) GTEST_SKIP() << "the golden set has no metadata_files/expected.json";
  for (const json& entry : cases) {
    SCOPED_TRACE(entry["name"]);
    test::WorkingFolder folder;
    folder.copy_golden("data", "metadata_files");
    std::filesystem::current_path(folder.path() / "metadata_files");
    for (const json& name : entry.value("remove_before_running", json::array())) {
      std::filesystem::remove(name.get<std::string>());
    }
    const SubsetConfig subset = subset_of(entry["subset"]);
    const DatasetKind kind = entry["kind"] == "FT" ? DatasetKind::metadata : DatasetKind::folder;
    const bool ignored_instead = entry.value("note", "").find("ignored instead") != std::string::npos;
    if (is_nonsense(entry) || (entry.contains("error") && !ignored_instead)) {
      EXPECT_ANY_THROW(scan_subset(kind, subset));
      continue;
    }
    const ScannedImages found = scan_subset(kind, subset);
    const std::vector<ScannedImage>& images = found.images;
    if (ignored_instead) {
      ASSERT_EQ(images.size(), 1u);
      EXPECT_EQ(images[0].size, (Size{64, 64}));
      continue;
    }
    check_images(images, entry, subset);
    if (entry.contains("written_file")) {
      const auto written = std::filesystem::path(subset.image_dir) / "metadata_cache.json";
      EXPECT_EQ(read_file(written), read_file(entry["written_file"].get<std::string>()));
    }
  }
  fmt::print("metadata_files: {} cases\n", cases.size());
}

}  // namespace
}  // namespace loraptor::data
