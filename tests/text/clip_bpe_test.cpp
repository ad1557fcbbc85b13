// Splitting, special tokens, cutting and padding of CLIP, and files that are no vocabulary.
#include "text/clip_bpe.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"
#include "text/vocabularies.h"

namespace loraptor::text {
namespace {

using Ids = std::vector<int64_t>;

Ids encode_clip_l(std::string_view text) { return test::tokenizers().clip_l->encode(text); }

TEST(ClipBpe, EmptyTextIsStartAndEnd) {
  EXPECT_EQ(encode_clip_l(""), (Ids{49406, 49407}));
  EXPECT_EQ(encode_clip_l(" \n\t"), (Ids{49406, 49407}));
  const Tokens tokens = test::tokenizers().clip_g->tokenize("", 4);
  EXPECT_EQ(tokens.ids, (Ids{49406, 49407, 0, 0}));
  EXPECT_EQ(tokens.mask, (Ids{1, 1, 0, 0}));
  EXPECT_EQ(tokens.dropped, 0);
}

TEST(ClipBpe, SpecialTokensAreFoundInAnyLetterCase) {
  EXPECT_EQ(encode_clip_l("a<|endoftext|>b"), (Ids{49406, 320, 49407, 321, 49407}));
  EXPECT_EQ(encode_clip_l("<|StartOfText|>"), (Ids{49406, 49406, 49407}));
}

TEST(ClipBpe, CuttingKeepsTheStartAndCountsTheRest) {
  const Tokens tokens = test::tokenizers().clip_l->tokenize("a photo of a cat", 5);
  EXPECT_EQ(tokens.ids, (Ids{49406, 320, 1125, 539, 49407}));
  EXPECT_EQ(tokens.mask, Ids(5, 1));
  EXPECT_EQ(tokens.dropped, 2);
  EXPECT_EQ(test::tokenizers().clip_l->tokenize("a photo of a cat", 7).dropped, 0);
}

TEST(ClipBpe, VeryLongWordsAreEncoded) {
  const std::string word(20000, 'q');
  EXPECT_GT(encode_clip_l(word).size(), 1000u);
}

TEST(ClipBpe, InvalidBytesAreReadAsReplacementCharacters) {
  EXPECT_EQ(encode_clip_l("a\xFF"), encode_clip_l("a\uFFFD"));
}

TEST(FormatClipBpe, OtherJsonIsRefused) {
  const test::TempFolder folder;
  write_file(folder / "merges.txt", "#version: 0.2\na b\n");
  for (const char* text : {"", "[]", "{\"a\": \"b\"}", "{\"a\": {\"b\": 1}}", "{\"a\": 1", "{\"a\": 1}"}) {
    write_file(folder / "vocab.json", text);
    EXPECT_THROW(read_clip_vocabulary(folder / "vocab.json", folder / "merges.txt"), FileError) << text;
    EXPECT_THROW(read_clip_vocabulary(folder / "vocab.json"), FileError) << text;
  }
  EXPECT_THROW(read_clip_vocabulary(folder / "none.json", folder / "merges.txt"), FileError);
}

}  // namespace
}  // namespace loraptor::text
