// White space, lower case and normal form as Python has them.
#include "text/unicode.h"

#include <gtest/gtest.h>

namespace loraptor::text {
namespace {

std::string lower(std::string_view utf8) { return to_utf8(lower_case(to_code_points(utf8))); }

TEST(Unicode, InvalidBytesBecomeTheReplacementCharacter) {
  EXPECT_EQ(to_utf8(to_code_points("a\xFFz")), "a\uFFFDz");
  EXPECT_EQ(to_utf8(to_code_points("cut \xE7\x8C")), "cut \uFFFD\uFFFD");
  EXPECT_EQ(to_code_points(std::string_view("a\0b", 3)).size(), 3u);
}

TEST(Unicode, LowerCaseKnowsTheDottedIAndTheFinalSigma) {
  EXPECT_EQ(lower("ÀÉÎ Straße"), "àéî straße");
  EXPECT_EQ(lower("\u0130"), "i\u0307");
  EXPECT_EQ(lower("ΣΑΣ"), "σας");
  EXPECT_EQ(lower("ΑΣ'Α ΑΣ."), "ασ'α ας.");
  EXPECT_EQ(lower("Σ"), "σ");
}

TEST(Unicode, SpacesCollapseToOneBlank) {
  EXPECT_EQ(to_utf8(collapse_spaces(U" \t a \u3000\n\u00A0 b\u2028")), "a b");
  EXPECT_EQ(to_utf8(collapse_spaces(U"a\u200Bb")), "a\u200Bb");
  EXPECT_EQ(to_utf8(collapse_spaces(U" \n ")), "");
}

TEST(Unicode, NormalFormsJoinAndFold) {
  EXPECT_EQ(normalize_nfc(U"e\u0301"), U"\u00E9");
  EXPECT_EQ(normalize_nfkc(U"\uFF21"), U"A");
  EXPECT_EQ(normalize_nfc(U""), U"");
}

}  // namespace
}  // namespace loraptor::text
