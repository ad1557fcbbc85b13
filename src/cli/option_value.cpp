// Parsing by hand where strtod and strtoll accept more (hexadecimal) or less (underscores) than Python.
#include "cli/option_value.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/python_format.h"

namespace loraptor::cli {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  const char* blanks = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Drops underscores that stand between two digits; nothing if there is another underscore.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return plain;
}

bool takes_sign(std::string_view& text) {
  const bool is_negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return is_negative;
}

std::string quoted(const std::string& text) { return "'" + text + "'"; }

const char* expectation(Kind kind) {
  switch (kind) {
    case Kind::integer: return "an integer";
    case Kind::number:
    case Kind::numbers: return "a number";
    case Kind::steps_or_fraction: return "a number of steps, a fraction below 1 or a percentage such as 10%";
    default: return "text";
  }
}

template <class T>
Value required(const Option& option, std::string_view text, const std::optional<T>& parsed) {
  if (parsed) return *parsed;
  if (option.takes_anything()) return std::string(text);
  throw UsageError(fmt::format("[--{}] value: got '{}', expected {}.", option.name, text, expectation(option.kind)));
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text) {
  const auto plain = without_underscores(trimmed(text));
  if (!plain) return std::nullopt;
  std::string_view rest = *plain;
  const bool is_negative = takes_sign(rest);
  if (rest.empty() || !std::all_of(rest.begin(), rest.end(), is_digit)) return std::nullopt;
  const std::string digits = (is_negative ? "-" : "") + std::string(rest);
  int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  auto plain = without_underscores(trimmed(text));
  if (!plain) return std::nullopt;
  std::transform(plain->begin(), plain->end(), plain->begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view rest = *plain;
  const bool is_negative = takes_sign(rest);
  const bool is_word = rest == "inf" || rest == "infinity" || rest == "nan";
  if (rest.empty() || (!is_word && !is_digit(rest[0]) && rest[0] != '.')) return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (result.ptr != rest.data() + rest.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) value = std::strtod(std::string(rest).c_str(), nullptr);
  return is_negative ? -value : value;
}

std::optional<StepsOrFraction> parse_steps_or_fraction(std::string_view text) {
  if (!text.empty() && text.back() == '%') {
    const auto percent = parse_number(text.substr(0, text.size() - 1));
    if (!percent) return std::nullopt;
    return StepsOrFraction{*percent / 100.0, true};
  }
  const auto number = parse_number(text);
  if (!number) return std::nullopt;
  if (!(*number >= 1)) return StepsOrFraction{*number, true};
  const auto steps = parse_integer(text);
  if (!steps) return std::nullopt;
  return StepsOrFraction{static_cast<double>(*steps), false};
}

Value parse_word(const Option& option, std::string_view text) {
  Value value;
  switch (option.kind) {
    case Kind::flag: LORAPTOR_ASSERT(option.kind != Kind::flag); break;
    case Kind::text: value = std::string(text); break;
    case Kind::texts: value = std::vector<std::string>{std::string(text)}; break;
    case Kind::integer: value = required(option, text, parse_integer(text)); break;
    case Kind::number: value = required(option, text, parse_number(text)); break;
    case Kind::numbers:
      value = std::vector<double>{std::get<double>(required(option, text, parse_number(text)))};
      break;
    case Kind::steps_or_fraction: value = required(option, text, parse_steps_or_fraction(text)); break;
  }
  check_choice(option, value);
  return value;
}

void check_choice(const Option& option, const Value& value) {
  if (option.choices.empty() || option.takes_anything()) return;
  std::vector<std::string> words{python_text(value)};
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) words = *list;
  for (const std::string& word : words) {
    if (std::find(option.choices.begin(), option.choices.end(), word) != option.choices.end()) continue;
    throw UsageError(
        fmt::format("[--{}] value: got '{}', expected one of {}.", option.name, word, fmt::join(option.choices, ", ")));
  }
}

std::string python_text(const Value& value) {
  struct Printer {
    std::string operator()(std::monostate) const { return "None"; }
    std::string operator()(bool v) const { return python_repr(v); }
    std::string operator()(int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return python_repr(v); }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(const StepsOrFraction& v) const {
      return v.is_fraction ? python_repr(v.value) : fmt::format("{:.0f}", v.value);
    }
    std::string operator()(const std::vector<std::string>& v) const {
      std::vector<std::string> items;
      for (const std::string& item : v) items.push_back(quoted(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    std::string operator()(const std::vector<double>& v) const {
      std::vector<std::string> items;
      for (double item : v) items.push_back(python_repr(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
  };
  return std::visit(Printer(), value);
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::flag: return "flag";
    case Kind::text: return "str";
    case Kind::integer: return "int";
    case Kind::number: return "float";
    case Kind::steps_or_fraction: return "int|frac";
    case Kind::texts: return "str*";
    case Kind::numbers: return "float*";
  }
  return "";
}

}  // namespace loraptor::cli
