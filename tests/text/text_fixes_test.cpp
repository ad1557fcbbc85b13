// Each repair of a caption, alone and together.
#include "text/text_fixes.h"

#include <gtest/gtest.h>

#include "text/html_entities.h"
#include "text/unicode.h"

namespace loraptor::text {
namespace {

std::string fix(std::u32string_view text) { return to_utf8(fix_text(text)); }

TEST(TextFixes, PlainTextStaysAsItIs) {
  EXPECT_EQ(fix(U""), "");
  EXPECT_EQ(fix(U"a photo of a cat, 4k"), "a photo of a cat, 4k");
  EXPECT_EQ(fix(U"猫 и кот"), "猫 и кот");
}

TEST(TextFixes, HtmlReferencesBecomeLetters) {
  EXPECT_EQ(fix(U"salt &amp; pepper"), "salt & pepper");
  EXPECT_EQ(fix(U"&amp;amp;amp;"), "&");
  EXPECT_EQ(fix(U"&EACUTE;t&eacute; &SZLIG;"), "Été SS");
  EXPECT_EQ(fix(U"&#x41;&#66;&#128; &NotEqualTilde;"), "AB€ ≂̸");
  EXPECT_EQ(fix(U"&#0;&#xD800;&#99999999999999;"), "\uFFFD\uFFFD\uFFFD");
}

TEST(TextFixes, WhatIsNoReferenceStays) {
  for (const char32_t* text :
       {U"&notanentity;", U"& &;", U"&#;", U"&#xyz;", U"&#12ab;", U"&#59;", U"&amp", U"&LTCC;"}) {
    EXPECT_EQ(fix(text), to_utf8(text));
  }
}

TEST(TextFixes, ReferencesStayFromTheFirstLineWithATagOn) {
  EXPECT_EQ(fix(U"&amp;\n<b>&amp;</b>\n&amp;"), "&\n<b>&amp;</b>\n&amp;");
}

TEST(TextFixes, LettersAreMadePlain) {
  EXPECT_EQ(fix(U"ﬁ ﬄ Ǆ ŉ"), "fi ffl DŽ 'n");
  EXPECT_EQ(fix(U"ＬＯＵＤ　ﾊﾟ￣"), "LOUD パ ̄");
  EXPECT_EQ(fix(U"“it’s”"), "\"it's\"");
  EXPECT_EQ(fix(U"e\u0301"), "é");
  EXPECT_EQ(fix(U"a\u0093b\u0081"), "a\"b\u0081");
}

TEST(TextFixes, ControlsGoAndLineBreaksBecomeOne) {
  EXPECT_EQ(fix(U"\uFEFFa\u0007b\u007F\uFFFC\u206A"), "ab");
  EXPECT_EQ(fix(U"x\u001B[1;31my\u001B[0m"), "xy");
  EXPECT_EQ(fix(U"a\r\nb\rc\u2028d"), "a\nb\nc\nd");
  EXPECT_EQ(fix(U"\f\t\u200D"), "\f\t\u200D");
}

TEST(TextFixes, ClipTextIsLowerCaseWithSingleBlanks) {
  EXPECT_EQ(clean_clip_text(U"  A \n  CAT&nbsp;!  "), "a cat !");
  EXPECT_EQ(clean_clip_text(U"\uFEFF"), "");
}

TEST(HtmlEntities, NamesAreCaseSensitive) {
  EXPECT_EQ(html_entity("Aacute"), U"Á");
  EXPECT_EQ(html_entity("aacute"), U"á");
  EXPECT_EQ(html_entity("aAcute"), U"");
  EXPECT_EQ(html_entity(""), U"");
}

}  // namespace
}  // namespace loraptor::text
