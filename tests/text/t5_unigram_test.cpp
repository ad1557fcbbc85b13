// Special tokens, cutting and padding of T5, and a vocabulary given as tokenizer.json.
#include "text/t5_unigram.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"
#include "text/vocabularies.h"

namespace loraptor::text {
namespace {

using Ids = std::vector<int64_t>;

Ids encode_t5(std::string_view text) { return test::tokenizers().t5->encode(text); }

TEST(T5Unigram, EmptyTextIsTheEndToken) {
  EXPECT_EQ(encode_t5(""), (Ids{1}));
  EXPECT_EQ(encode_t5("  \n "), (Ids{1}));
  EXPECT_EQ(encode_t5("\u0085 "), (Ids{1}));
  const Tokens tokens = test::tokenizers().t5->tokenize("", 3);
  EXPECT_EQ(tokens.ids, (Ids{1, 0, 0}));
  EXPECT_EQ(tokens.mask, (Ids{1, 0, 0}));
}

TEST(T5Unigram, SpecialTokensInACaptionAreTokens) {
  EXPECT_EQ(encode_t5("a</s>b"), (Ids{3, 9, 1, 3, 115, 1}));
  EXPECT_EQ(encode_t5("<extra_id_0> hole <extra_id_99>"), (Ids{32099, 6356, 32000, 1}));
  EXPECT_EQ(encode_t5("<pad><unk>"), (Ids{0, 2, 1}));
}

TEST(T5Unigram, WhatOnlyLooksLikeASpecialTokenIsText) {
  for (const char* text : {"<extra_id_100>", "<extra_id_01>", "<extra_id_>", "<extra_id_-1>", "<extra_id_5", "<s>"}) {
    for (const int64_t id : encode_t5(text)) EXPECT_LT(id, 32000) << text;
    EXPECT_GT(encode_t5(text).size(), 2u) << text;
  }
}

TEST(T5Unigram, CuttingKeepsTheStartAndCountsTheRest) {
  const Tokens tokens = test::tokenizers().t5->tokenize("a photo of a cat", 4);
  EXPECT_EQ(tokens.ids, (Ids{3, 9, 1202, 1}));
  EXPECT_EQ(tokens.dropped, 4);
}

constexpr const char* kSmallTokenizer = R"({
  "normalizer": {"type": "Sequence", "normalizers": []},
  "model": {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0],
    ["▁", -2.0], ["a", -3.0], ["▁a", -1.5], ["b", -3.5], ["<extra_id_0>", 0.0]]}})";

TEST(T5Unigram, TokenizerJsonIsReadLikeTheModelItWasMadeFrom) {
  const test::TempFolder folder;
  write_file(folder / "tokenizer.json", kSmallTokenizer);
  const auto tokenizer = make_t5_tokenizer(folder / "tokenizer.json");
  EXPECT_EQ(tokenizer->encode("a ba"), (Ids{5, 3, 6, 4, 1}));
  EXPECT_EQ(tokenizer->encode("a z</s>"), (Ids{5, 3, 2, 1, 1}));
  EXPECT_EQ(tokenizer->encode("<extra_id_0>"), (Ids{7 + 99, 1}));
}

TEST(FormatT5Unigram, OtherFilesAreRefused) {
  const test::TempFolder folder;
  for (const char* text : {"", "garbage", "{}", "{\"model\": {\"vocab\": [[\"a\", 1]]}}"}) {
    for (const char* name : {"spiece.model", "tokenizer.json"}) {
      write_file(folder / name, text);
      EXPECT_THROW(make_t5_tokenizer(folder / name), FileError) << name << " " << text;
    }
  }
  EXPECT_THROW(make_t5_tokenizer(folder / "none.model"), FileError);
}

}  // namespace
}  // namespace loraptor::text
