// The order of places, the layouts of folders, and what a user reads when a vocabulary is nowhere.
#include "text/tokenizer_files.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_folder.h"
#include "text/clip_bpe.h"

namespace loraptor::text {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

/// The installed vocabularies, whatever folder they are in.
fs::path installed_folder() {
  for (const fs::path& place : default_tokenizer_search().installed) {
    if (fs::exists(place / "t5_spiece.model")) return fs::absolute(place);
  }
  return {};
}

void link_clip(const fs::path& folder) {
  fs::create_directories(folder);
  fs::create_symlink(installed_folder() / "clip_vocab.json", folder / "vocab.json");
  fs::create_symlink(installed_folder() / "clip_merges.txt", folder / "merges.txt");
}

void link_t5(const fs::path& folder) {
  fs::create_directories(folder);
  fs::create_symlink(installed_folder() / "t5_spiece.model", folder / "spiece.model");
}

void expect_loads(const TokenizerSearch& search) {
  const Tokenizers tokenizers = load_tokenizers(search);
  EXPECT_EQ(tokenizers.clip_l->encode("a cat"), (Ids{49406, 320, 2368, 49407}));
  EXPECT_EQ(tokenizers.t5->encode("cat"), (Ids{1712, 1}));
  EXPECT_EQ(tokenizers.clip_l->padding_id(), 49407);
  EXPECT_EQ(tokenizers.clip_g->padding_id(), 0);
}

TEST(TokenizerFiles, DiffusersFoldersAreRead) {
  const test::TempFolder folder;
  link_clip(folder / "tokenizer");
  link_t5(folder / "tokenizer_3");
  TokenizerSearch search;
  search.folder = folder.path();
  expect_loads(search);
}

TEST(TokenizerFiles, TheReferencesCacheFolderIsRead) {
  const test::TempFolder folder;
  link_clip(folder / "openai_clip-vit-large-patch14");
  link_t5(folder / "google_t5-v1_1-xxl");
  TokenizerSearch search;
  search.cache_dir = folder.path();
  expect_loads(search);
}

TEST(TokenizerFiles, HuggingFaceCachesAreRead) {
  const test::TempFolder folder;
  link_clip(folder / "models--openai--clip-vit-large-patch14/snapshots/abc");
  link_t5(folder / "models--stabilityai--stable-diffusion-3.5-large/snapshots/def/tokenizer_3");
  TokenizerSearch search;
  search.hugging_face = {folder.path()};
  expect_loads(search);
}

TEST(TokenizerFiles, ComfyFoldersAreRead) {
  const test::TempFolder folder;
  link_clip(folder / "comfy/sd1_tokenizer");
  link_t5(folder / "comfy/text_encoders/t5_tokenizer");
  TokenizerSearch search;
  search.comfyui = {folder.path()};
  expect_loads(search);
}

TEST(TokenizerFiles, AnEmptyCacheFolderFallsBackToTheInstallation) {
  const test::TempFolder folder;
  TokenizerSearch search;
  search.cache_dir = folder.path();
  search.installed = {installed_folder()};
  expect_loads(search);
}

TEST(TokenizerFiles, AMissingVocabularyNamesThePlacesAndTheWayOut) {
  const test::TempFolder folder;
  link_clip(folder / "tokenizer");
  TokenizerSearch search;
  search.folder = folder.path();
  search.installed = {folder / "share"};
  try {
    load_tokenizers(search);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("T5 vocabulary: got none, expected spiece.model or tokenizer.json"), std::string::npos) << text;
    EXPECT_NE(text.find((folder / "share").string()), std::string::npos) << text;
    EXPECT_NE(text.find("./setup.sh"), std::string::npos) << text;
    EXPECT_NE(text.find("tokenizer_3/spiece.model"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace loraptor::text
