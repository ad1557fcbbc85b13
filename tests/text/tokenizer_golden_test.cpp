// Token ids of the reference's tokenizers, for plain prompts, tags, scripts, controls, HTML, special tokens, long
// words.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>

#include "support/golden.h"
#include "text/vocabularies.h"

namespace loraptor::test {
namespace {

using nlohmann::json;
using Ids = std::vector<int64_t>;

constexpr int64_t kClipLength = 77;
constexpr int64_t kT5Length = 256;

/// Expects `tokens` to be `want` followed by padding, with a mask that says so.
bool matches(const text::Tokens& tokens, const Ids& want, int64_t length, int64_t padding) {
  Ids ids = want;
  Ids mask(want.size(), 1);
  ids.resize(length, padding);
  mask.resize(length, 0);
  return tokens.ids == ids && tokens.mask == mask;
}

std::string describe(const json& entry, const char* field) {
  return entry.value("cat", "") + " " + entry.at("text").dump(-1, ' ', true) + " " + field;
}

void for_each_case(const std::function<void(const json&)>& check) {
  for (const auto& path : golden_files("models", "tokenizers", ".json")) {
    const json file = read_golden_json(path);
    for (const json& entry : file.at("cases")) check(entry);
  }
}

TEST(GoldenTokenizers, ClipIdsAndMasksAreTheReferences) {
  int compared = 0, mojibake = 0, mojibake_equal = 0;
  for_each_case([&](const json& entry) {
    const std::string text = entry.at("text");
    const Ids want = entry.at("l");
    const bool equal = matches(tokenizers().clip_l->tokenize(text, kClipLength), want, kClipLength, 49407) &&
                       matches(tokenizers().clip_g->tokenize(text, kClipLength), want, kClipLength, 0);
    if (entry.value("ftfy", 0) == 2) {
      ++mojibake;
      mojibake_equal += equal;
      return;
    }
    ++compared;
    EXPECT_TRUE(equal) << describe(entry, "l") << "\n got " << json(tokenizers().clip_l->encode(text)) << "\nwant "
                       << entry.at("l");
  });
  std::printf("tokenizers.json: %d CLIP strings equal; mojibake repair %d of %d\n", compared, mojibake_equal, mojibake);
}

TEST(GoldenTokenizers, T5IdsAndMasksAreTheReferences) {
  int compared = 0, as_sentencepiece = 0;
  for_each_case([&](const json& entry) {
    const std::string text = entry.at("text");
    const text::Tokens tokens = tokenizers().t5->tokenize(text, kT5Length);
    ++compared;
    if (matches(tokens, entry.at("t5"), kT5Length, 0)) return;
    const bool plain = entry.contains("t5_sp") && matches(tokens, entry.at("t5_sp"), kT5Length, 0);
    as_sentencepiece += plain;
    EXPECT_TRUE(plain) << describe(entry, "t5") << "\n got " << json(tokenizers().t5->encode(text)) << "\nwant "
                       << entry.at("t5");
  });
  std::printf("tokenizers.json: %d T5 strings, %d of them as plain SentencePiece\n", compared, as_sentencepiece);
}

TEST(GoldenTokenizers, T5LengthsOtherThanTheDefaultAreCutTheSameWay) {
  int compared = 0;
  for_each_case([&](const json& entry) {
    if (entry.contains("t5_sp")) return;  // a tie, recorded at the default length only
    for (const auto& [field, want] : entry.items()) {
      if (!field.starts_with("t5_") || !std::all_of(field.begin() + 3, field.end(), ::isdigit)) continue;
      const int64_t length = std::stoll(field.substr(3));
      const text::Tokens tokens = tokenizers().t5->tokenize(entry.at("text").get<std::string>(), length);
      EXPECT_TRUE(matches(tokens, want, length, 0)) << describe(entry, field.c_str());
      ++compared;
    }
  });
  std::printf("tokenizers.json: %d strings at other T5 lengths\n", compared);
}

}  // namespace
}  // namespace loraptor::test
