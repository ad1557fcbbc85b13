// Tables and normal forms come from utf8proc; Python's special cases are here.
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace loraptor::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

/// Case_Ignorable of the Unicode standard, as far as categories tell, plus the mid-word punctuation.
bool is_case_ignorable(char32_t letter) {
  static constexpr std::u32string_view kMidWord =
      U"'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52"
      U"\uFE55\uFF07\uFF0E\uFF1A";
  if (kMidWord.find(letter) != std::u32string_view::npos) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(letter))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return false;
  }
}

bool is_cased(char32_t letter) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(letter));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT ||
         letter == 0xAA || letter == 0xBA;
}

/// Whether the Σ at `at` ends a word: a letter before it, none after it.
bool is_final_sigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

std::u32string normalize(std::u32string_view text, int options) {
  const std::string utf8 = to_utf8(text);
  utf8proc_uint8_t* raw = nullptr;
  const auto bytes =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(utf8.data()), static_cast<utf8proc_ssize_t>(utf8.size()),
                   &raw, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(raw, &std::free);
  LORAPTOR_ASSERT(bytes >= 0);
  return to_code_points({reinterpret_cast<const char*>(raw), static_cast<size_t>(bytes)});
}

}  // namespace

std::u32string to_code_points(std::string_view utf8) {
  std::u32string code_points;
  code_points.reserve(utf8.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(utf8.data());
  size_t at = 0;
  while (at < utf8.size()) {
    utf8proc_int32_t letter = -1;
    const auto used = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(utf8.size() - at), &letter);
    code_points.push_back(used > 0 ? static_cast<char32_t>(letter) : kReplacement);
    at += used > 0 ? static_cast<size_t>(used) : 1;
  }
  return code_points;
}

std::string to_utf8(std::u32string_view code_points) {
  std::string utf8;
  utf8.reserve(code_points.size());
  for (const char32_t letter : code_points) {
    utf8proc_uint8_t bytes[4];
    const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(letter), bytes);
    utf8.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
  }
  return utf8;
}

bool is_space(char32_t letter) {
  return (letter >= 0x09 && letter <= 0x0D) || (letter >= 0x1C && letter <= 0x20) || letter == 0x85 || letter == 0xA0 ||
         letter == 0x1680 || (letter >= 0x2000 && letter <= 0x200A) || letter == 0x2028 || letter == 0x2029 ||
         letter == 0x202F || letter == 0x205F || letter == 0x3000;
}

bool is_digit(char32_t letter) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(letter)) == UTF8PROC_CATEGORY_ND;
}

std::u32string lower_case(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\u0130') {
      lower += U"i\u0307";
    } else if (text[i] == U'\u03A3' && is_final_sigma(text, i)) {
      lower += U'\u03C2';
    } else {
      lower += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(text[i])));
    }
  }
  return lower;
}

char32_t upper_case(char32_t letter) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(letter)));
}

std::u32string normalize_nfc(std::u32string_view text) { return normalize(text, 0); }

std::u32string normalize_nfkc(std::u32string_view text) { return normalize(text, UTF8PROC_COMPAT); }

std::u32string collapse_spaces(std::u32string_view text) {
  std::u32string words;
  words.reserve(text.size());
  for (const char32_t letter : text) {
    if (!is_space(letter)) {
      words += letter;
    } else if (!words.empty() && words.back() != U' ') {
      words += U' ';
    }
  }
  if (!words.empty() && words.back() == U' ') words.pop_back();
  return words;
}

}  // namespace loraptor::text
