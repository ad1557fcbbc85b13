// A recursive-descent reader of Python literals.
#include "optim/python_literal.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace loraptor::optim {
namespace {

constexpr int kDepthLimit = 50;

class Reader {
 public:
  Reader(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  PythonValue whole() {
    skip_blanks();
    PythonValue first = value();
    skip_blanks();
    if (!at_end() && peek() == ',') first = rest_of_tuple(std::move(first), '\0');
    skip_blanks();
    if (!at_end()) fail("unexpected text after the value");
    return first;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void skip_blanks() {
    while (!at_end() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw UsageError(
        fmt::format("[{}] {} at character {}: got `{}`, expected a Python literal such as 0.01, True, None, 'text' or "
                    "(0.9, 0.99).\n"
                    "Hint: texts need quotes that survive the shell: key=\"'text'\".",
                    where_, what, at_ + 1, text_));
  }

  void expect(char c) {
    skip_blanks();
    if (peek() != c) fail(fmt::format("'{}' is missing", c));
    ++at_;
  }

  PythonValue value() {
    if (++depth_ > kDepthLimit) fail("brackets are nested too deeply");
    skip_blanks();
    PythonValue result;
    const char c = peek();
    if (c == '(') result = parenthesis();
    else if (c == '[') result = {PythonValue::List{items_until(']')}};
    else if (c == '{') result = dict();
    else if (c == '\'' || c == '"') result = {string()};
    else if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') result = word();
    else result = number();
    --depth_;
    return result;
  }

  PythonValue rest_of_tuple(PythonValue first, char close) {
    PythonValue::Tuple tuple{{std::move(first)}};
    while (true) {
      skip_blanks();
      if (peek() != ',') break;
      ++at_;
      skip_blanks();
      if (at_end() || peek() == close) break;
      tuple.items.push_back(value());
    }
    return {std::move(tuple)};
  }

  PythonValue parenthesis() {
    expect('(');
    skip_blanks();
    if (peek() == ')') {
      ++at_;
      return {PythonValue::Tuple{}};
    }
    PythonValue inner = value();
    skip_blanks();
    if (peek() == ',') inner = rest_of_tuple(std::move(inner), ')');
    expect(')');
    return inner;
  }

  std::vector<PythonValue> items_until(char close) {
    ++at_;
    std::vector<PythonValue> items;
    while (true) {
      skip_blanks();
      if (peek() == close) break;
      items.push_back(value());
      skip_blanks();
      if (peek() != ',') break;
      ++at_;
    }
    expect(close);
    return items;
  }

  PythonValue dict() {
    expect('{');
    PythonValue::Dict result;
    while (true) {
      skip_blanks();
      if (peek() == '}') break;
      PythonValue key = value();
      expect(':');
      result.items.push_back({std::move(key), value()});
      skip_blanks();
      if (peek() != ',') break;
      ++at_;
    }
    expect('}');
    return {std::move(result)};
  }

  std::string string() {
    const char quote = text_[at_++];
    std::string result;
    while (!at_end() && peek() != quote) {
      char c = text_[at_++];
      if (c == '\\' && !at_end()) {
        const char escaped = text_[at_++];
        if (escaped == 'n') c = '\n';
        else if (escaped == 't') c = '\t';
        else if (escaped == '\\' || escaped == '\'' || escaped == '"') c = escaped;
        else fail("unknown escape in a text");
      }
      result += c;
    }
    if (at_end()) fail("a quote is not closed");
    ++at_;
    return result;
  }

  PythonValue word() {
    const size_t start = at_;
    while (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_') ++at_;
    const auto name = text_.substr(start, at_ - start);
    if (name == "True") return {true};
    if (name == "False") return {false};
    if (name == "None") return {PythonValue::None{}};
    at_ = start;
    fail("a bare word is no value");
  }

  PythonValue number() {
    double sign = 1;
    while (peek() == '-' || peek() == '+') {
      if (text_[at_++] == '-') sign = -sign;
      skip_blanks();
    }
    const size_t start = at_;
    std::string digits;
    bool is_float = false;
    while (!at_end()) {
      const char c = peek();
      const bool signs_exponent = (c == '-' || c == '+') && !digits.empty() && std::tolower(digits.back()) == 'e';
      if (!std::isdigit(static_cast<unsigned char>(c)) && c != '.' && c != 'e' && c != 'E' && c != '_' &&
          !signs_exponent)
        break;
      if (c == '.' || c == 'e' || c == 'E') is_float = true;
      if (c != '_') digits += c;
      ++at_;
    }
    const char* end = digits.data() + digits.size();
    if (!is_float) {
      int64_t integer = 0;
      const auto read = std::from_chars(digits.data(), end, integer);
      if (read.ec == std::errc() && read.ptr == end) return {sign < 0 ? -integer : integer};
    }
    double real = 0;
    const auto read = std::from_chars(digits.data(), end, real);
    const bool overflow = read.ec == std::errc::result_out_of_range;
    if (digits.empty() || (read.ec != std::errc() && !overflow) || read.ptr != end) {
      at_ = start;
      fail("no value can be read");
    }
    if (overflow)
      real = digits.find("e-") != std::string::npos || digits.find("E-") != std::string::npos ? 0.0 : HUGE_VAL;
    return {sign * real};
  }

  std::string_view text_;
  std::string_view where_;
  size_t at_ = 0;
  int depth_ = 0;
};

std::string quoted(const std::string& text) {
  const bool has_single = text.find('\'') != std::string::npos, has_double = text.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string result(1, quote);
  for (char c : text) {
    if (c == '\n') result += "\\n";
    else if (c == '\t') result += "\\t";
    else if (c == '\\' || c == quote) result += std::string("\\") + c;
    else result += c;
  }
  return result + quote;
}

std::string joined(const std::vector<PythonValue>& items) {
  std::vector<std::string> texts;
  for (const auto& item : items) texts.push_back(python_repr(item));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

PythonValue parse_python_literal(std::string_view text, std::string_view where) { return Reader(text, where).whole(); }

std::string python_repr(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (std::isnan(value)) return "nan";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string python_repr(const PythonValue& value) {
  struct Printer {
    std::string operator()(PythonValue::None) const { return "None"; }
    std::string operator()(bool b) const { return b ? "True" : "False"; }
    std::string operator()(int64_t i) const { return std::to_string(i); }
    std::string operator()(double d) const { return python_repr(d); }
    std::string operator()(const std::string& s) const { return quoted(s); }
    std::string operator()(const PythonValue::List& list) const { return fmt::format("[{}]", joined(list.items)); }
    std::string operator()(const PythonValue::Tuple& tuple) const {
      return fmt::format("({}{})", joined(tuple.items), tuple.items.size() == 1 ? "," : "");
    }
    std::string operator()(const PythonValue::Dict& dict) const {
      std::vector<std::string> texts;
      for (const auto& [key, item] : dict.items) {
        texts.push_back(fmt::format("{}: {}", python_repr(key), python_repr(item)));
      }
      return fmt::format("{{{}}}", fmt::join(texts, ", "));
    }
  };
  return std::visit(Printer{}, value.value);
}

}  // namespace loraptor::optim
