// Text of the command line to values and back, by the rules of Python's argparse, int() and float().
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/option.h"

namespace loraptor::cli {

/// int(): decimal, optional sign, blanks around, single underscores between digits. Nothing if `text` is not that or
/// does not fit 64 bits.
std::optional<int64_t> parse_integer(std::string_view text);

/// float(): decimal or exponent form, inf, infinity, nan, blanks around, single underscores between digits.
std::optional<double> parse_number(std::string_view text);

/// "10%" is a fraction; a number from 1 on must be an integer and counts steps; a smaller one is a fraction.
std::optional<StepsOrFraction> parse_steps_or_fraction(std::string_view text);

/// One word as a value of `option`; for list options one element, as a list of one.
/// A word that does not fit an option whose value nothing reads stays text.
/// Throws UsageError naming the option, the word and what was expected, also for a wrong choice.
Value parse_word(const Option& option, std::string_view text);

/// Throws UsageError unless `value` is among the option's choices, or nothing reads it.
void check_choice(const Option& option, const Value& value);

/// str() of the value as the reference would hold it: None, True, 1, 0.1, text, ['a', 'b'].
std::string python_text(const Value& value);

/// "flag", "int", "float", "str", "int|frac", "str*", "float*".
const char* kind_name(Kind kind);

}  // namespace loraptor::cli
