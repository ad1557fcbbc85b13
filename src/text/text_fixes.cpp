// Each repair is one pass over the code points; a line is repaired until nothing changes any more.
#include "text/text_fixes.h"

#include <algorithm>
#include <array>
#include <optional>

#include "text/html_entities.h"
#include "text/unicode.h"

namespace loraptor::text {
namespace {

/// Windows-1252 letters of the bytes 0x80 to 0x9F; bytes that it does not define keep their value.
constexpr std::array<char32_t, 32> kWindows1252 = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                                   0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                                   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                   0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};

bool is_c1_control(char32_t letter) { return letter >= 0x80 && letter <= 0x9F; }

bool is_ascii_letter(char32_t letter) {
  return (letter >= U'a' && letter <= U'z') || (letter >= U'A' && letter <= U'Z');
}

bool is_ascii_digit(char32_t letter) { return letter >= U'0' && letter <= U'9'; }

std::u32string_view expand_ligature(char32_t letter) {
  switch (letter) {
    case 0x132: return U"IJ";
    case 0x133: return U"ij";
    case 0x149: return U"\u02BCn";
    case 0x1F1: return U"DZ";
    case 0x1F2: return U"Dz";
    case 0x1F3: return U"dz";
    case 0x1C4: return U"D\u017D";
    case 0x1C5: return U"D\u017E";
    case 0x1C6: return U"d\u017E";
    case 0x1C7: return U"LJ";
    case 0x1C8: return U"Lj";
    case 0x1C9: return U"lj";
    case 0x1CA: return U"NJ";
    case 0x1CB: return U"Nj";
    case 0x1CC: return U"nj";
    case 0xFB00: return U"ff";
    case 0xFB01: return U"fi";
    case 0xFB02: return U"fl";
    case 0xFB03: return U"ffi";
    case 0xFB04: return U"ffl";
    case 0xFB05: return U"\u017Ft";
    case 0xFB06: return U"st";
    default: return {};
  }
}

bool is_removed_control(char32_t letter) {
  return letter <= 0x08 || letter == 0x0B || (letter >= 0x0E && letter <= 0x1F) || letter == 0x7F ||
         (letter >= 0x206A && letter <= 0x206F) || letter == 0xFEFF || (letter >= 0xFFF9 && letter <= 0xFFFC);
}

/// The letter of a numeric reference as browsers read it; empty for code points that stand for nothing.
std::u32string numeric_letter(uint32_t value) {
  if (value >= 0x80 && value <= 0x9F) return {kWindows1252[value - 0x80]};
  if (value == 0 || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF) return U"\uFFFD";
  const bool is_control = value < 0x20 && value != 0x09 && value != 0x0A && value != 0x0C && value != 0x0D;
  const bool is_nothing = (value >= 0xFDD0 && value <= 0xFDEF) || (value & 0xFFFE) == 0xFFFE;
  if (is_control || value == 0x7F || is_nothing) return {};
  return {static_cast<char32_t>(value)};
}

/// `body` is what stands between &# and ;. Nothing is returned where the text must stay as it is.
std::optional<std::u32string> numeric_reference(std::string_view body) {
  const bool is_hex = body.starts_with('x') || body.starts_with('X');
  if (is_hex) body.remove_prefix(1);
  if (body.empty()) return std::nullopt;
  uint32_t value = 0;
  for (const char digit : body) {
    const uint32_t base = is_hex ? 16 : 10;
    uint32_t number = 16;
    if (digit >= '0' && digit <= '9') number = digit - '0';
    if (digit >= 'a' && digit <= 'f') number = digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') number = digit - 'A' + 10;
    if (number >= base) return std::nullopt;
    value = std::min<uint32_t>(value * base + number, 0x110000);
  }
  if (value == U';') return std::nullopt;  // ftfy takes a semicolon in the result for a half-read reference
  return numeric_letter(value);
}

/// Reads a reference of the form &#?[0-9A-Za-z]{1,24}; at `at`. Returns its length, 0 if there is none.
size_t reference_length(std::u32string_view text, size_t at) {
  constexpr size_t kLongest = 24;
  size_t end = at + 1;
  if (end < text.size() && text[end] == U'#') ++end;
  const size_t start = end;
  while (end < text.size() && end - start < kLongest && (is_ascii_letter(text[end]) || is_ascii_digit(text[end])))
    ++end;
  return end > start && end < text.size() && text[end] == U';' ? end + 1 - at : 0;
}

std::u32string unescape_html(std::u32string_view text) {
  std::u32string plain;
  for (size_t i = 0; i < text.size();) {
    const size_t length = text[i] == U'&' ? reference_length(text, i) : 0;
    if (length == 0) {
      plain += text[i++];
      continue;
    }
    const std::string body = to_utf8(text.substr(i + 1, length - 2));
    if (body.front() == '#') {
      plain += numeric_reference(std::string_view(body).substr(1)).value_or(std::u32string(text.substr(i, length)));
    } else {
      const std::u32string letters = html_entity(body);
      plain += letters.empty() ? text.substr(i, length) : std::u32string_view(letters);
    }
    i += length;
  }
  return plain;
}

/// Windows-1252 letters for C1 controls, then ligatures, widths and quotes: everything that maps single letters.
std::u32string fix_letters(std::u32string_view text) {
  std::u32string fixed;
  fixed.reserve(text.size());
  const auto add = [&fixed](char32_t letter) {
    if (letter >= 0x201C && letter <= 0x201F) letter = U'"';
    if (letter == 0x2BC || (letter >= 0x2018 && letter <= 0x201B)) letter = U'\'';
    fixed += letter;
  };
  for (char32_t letter : text) {
    if (is_c1_control(letter)) letter = kWindows1252[letter - 0x80];
    if (letter == 0x3000) letter = U' ';
    const std::u32string_view ligature = expand_ligature(letter);
    if (!ligature.empty()) {
      std::for_each(ligature.begin(), ligature.end(), add);
    } else if (letter >= 0xFF01 && letter < 0xFFF0) {
      const std::u32string standard = normalize_nfkc({&letter, 1});
      std::for_each(standard.begin(), standard.end(), add);
    } else {
      add(letter);
    }
  }
  return fixed;
}

std::u32string fix_line_breaks(std::u32string_view text) {
  std::u32string fixed;
  fixed.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\r' && i + 1 < text.size() && text[i + 1] == U'\n') continue;
    const bool is_break = text[i] == U'\r' || text[i] == 0x2028 || text[i] == 0x2029 || text[i] == 0x85;
    fixed += is_break ? U'\n' : text[i];
  }
  return fixed;
}

/// Length of a terminal escape `ESC [ digits and ; letter` at `at`, 0 if there is none.
size_t escape_length(std::u32string_view text, size_t at) {
  if (text[at] != 0x1B || at + 1 >= text.size() || text[at + 1] != U'[') return 0;
  size_t end = at + 2;
  while (end < text.size() && (text[end] == U';' || is_digit(text[end]))) ++end;
  return end < text.size() && is_ascii_letter(text[end]) ? end + 1 - at : 0;
}

std::u32string remove_controls(std::u32string_view text) {
  std::u32string fixed;
  fixed.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t escape = escape_length(text, i);
    if (escape == 0 && !is_removed_control(text[i])) fixed += text[i];
    i += std::max<size_t>(escape, 1);
  }
  return fixed;
}

std::u32string fix_line(std::u32string line, bool has_html_references) {
  while (true) {
    std::u32string fixed = has_html_references ? unescape_html(line) : line;
    fixed = normalize_nfc(remove_controls(fix_line_breaks(fix_letters(fixed))));
    if (fixed == line) return fixed;
    line = std::move(fixed);
  }
}

/// Printable ASCII without & never needs a repair; nearly all captions are that.
bool needs_no_fix(std::u32string_view text) {
  return std::all_of(text.begin(), text.end(), [](char32_t letter) {
    return (letter >= 0x20 && letter < 0x7F && letter != U'&') || letter == U'\t' || letter == U'\n';
  });
}

}  // namespace

std::u32string fix_text(std::u32string_view text) {
  if (needs_no_fix(text)) return std::u32string(text);
  std::u32string fixed;
  bool has_html_references = true;
  while (!text.empty()) {
    const size_t end = text.find(U'\n');
    const size_t length = end == std::u32string_view::npos ? text.size() : end + 1;
    const std::u32string_view line = text.substr(0, length);
    // A tag says that this is a piece of HTML, whose references are meant.
    if (line.find(U'<') != std::u32string_view::npos) has_html_references = false;
    fixed += fix_line(std::u32string(line), has_html_references);
    text.remove_prefix(length);
  }
  return fixed;
}

std::string clean_clip_text(std::u32string_view text) { return to_utf8(lower_case(collapse_spaces(fix_text(text)))); }

}  // namespace loraptor::text
