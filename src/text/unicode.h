// Unicode text as Python sees it: code points, white space, lower case, normal form.
#pragma once

#include <string>
#include <string_view>

namespace loraptor::text {

/// UTF-8 to code points. Every byte that is not part of valid UTF-8 becomes U+FFFD.
std::u32string to_code_points(std::string_view utf8);
std::string to_utf8(std::u32string_view code_points);

/// White space of Python's str.isspace, str.strip and of \s in its regular expressions.
bool is_space(char32_t letter);

/// A decimal digit of any script (Python's \d).
bool is_digit(char32_t letter);

/// Python's str.lower: İ becomes two letters, Σ at the end of a word becomes ς.
std::u32string lower_case(std::u32string_view text);

/// The simple upper-case letter.
char32_t upper_case(char32_t letter);

/// Unicode normal forms C and KC.
std::u32string normalize_nfc(std::u32string_view text);
std::u32string normalize_nfkc(std::u32string_view text);

/// Every run of white space becomes one blank; none is left at either end.
std::u32string collapse_spaces(std::u32string_view text);

}  // namespace loraptor::text
