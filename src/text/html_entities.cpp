// The table is one text, read when the first reference is met.
#include "text/html_entities.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <unordered_map>

#include "text/unicode.h"

namespace loraptor::text {
namespace {

constexpr std::string_view kTable =
#include "text/html_entities.inc"
    ;

using Entities = std::unordered_map<std::string, std::u32string>;

std::string_view next_word(std::string_view& rest) {
  const size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

std::u32string parse_value(std::string_view word) {
  std::u32string value;
  while (!word.empty()) {
    uint32_t letter = 0;
    const char* end = std::from_chars(word.data(), word.data() + word.size(), letter, 16).ptr;
    value += static_cast<char32_t>(letter);
    word.remove_prefix(std::min<size_t>(end - word.data() + 1, word.size()));
  }
  return value;
}

Entities read_table() {
  Entities entities;
  entities.reserve(4096);
  std::string_view rest = kTable;
  while (!rest.empty()) {
    std::string_view name = next_word(rest);
    std::u32string value = parse_value(next_word(rest));
    if (name.ends_with('^')) {
      name.remove_suffix(1);
      std::string capital(name);
      for (char& letter : capital) letter = static_cast<char>(upper_case(static_cast<unsigned char>(letter)));
      std::u32string capital_value = value;
      for (char32_t& letter : capital_value) letter = upper_case(letter);
      entities.emplace(std::move(capital), std::move(capital_value));
    }
    entities.emplace(name, std::move(value));
  }
  return entities;
}

}  // namespace

std::u32string html_entity(std::string_view name) {
  static const Entities entities = read_table();
  const auto found = entities.find(std::string(name));
  return found == entities.end() ? std::u32string() : found->second;
}

}  // namespace loraptor::text
