#include "mutate.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>

namespace loraptor::fuzz {
namespace {

using Random = std::mt19937_64;

size_t below(Random& random, size_t bound) { return bound == 0 ? 0 : random() % bound; }

/// Short pieces are as likely as long ones.
size_t piece_length(Random& random, size_t limit) {
  return std::min(limit, 1 + below(random, size_t{1} << below(random, 12)));
}

std::string piece_of(const std::string& text, Random& random) {
  const size_t begin = below(random, text.size());
  return text.substr(begin, piece_length(random, text.size() - begin));
}

void flip_bit(std::string& text, Random& random) {
  if (!text.empty()) text[below(random, text.size())] ^= static_cast<char>(1 << below(random, 8));
}

void set_byte(std::string& text, Random& random) {
  static constexpr std::array<unsigned char, 12> kValues{0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '.', '\n', ' ', '-'};
  if (!text.empty()) text[below(random, text.size())] = static_cast<char>(kValues[below(random, kValues.size())]);
}

/// A length or a size, little or big endian.
void set_binary_number(std::string& text, Random& random) {
  static constexpr std::array<uint64_t, 9> kValues{
      0, 1, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff, 0x10000};
  const size_t bytes = size_t{2} << below(random, 3);
  if (text.size() < bytes) return;
  const size_t at = below(random, text.size() - bytes + 1);
  const uint64_t value = kValues[below(random, kValues.size())];
  const bool big_endian = below(random, 2) == 0;
  for (size_t i = 0; i < bytes; ++i) {
    const size_t shift = 8 * (big_endian ? bytes - 1 - i : i);
    text[at + i] = static_cast<char>(value >> shift);
  }
}

/// Digits become another number.
void set_written_number(std::string& text, Random& random) {
  static const std::array<std::string, 10> kValues{
      "0", "-1", "1", "4294967296", "9223372036854775807", "18446744073709551615", "1e400", "nan", "0.5", "-9e99"};
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto begin =
      std::find_if(text.begin() + static_cast<std::ptrdiff_t>(below(random, text.size() + 1)), text.end(), is_digit);
  const auto end = std::find_if_not(begin, text.end(), is_digit);
  if (begin != end) text.replace(begin, end, kValues[below(random, kValues.size())]);
}

void remove_piece(std::string& text, Random& random) {
  const size_t begin = below(random, text.size());
  text.erase(begin, piece_length(random, text.size() - begin));
}

void insert_piece(std::string& text, const std::string& from, Random& random) {
  text.insert(below(random, text.size() + 1), piece_of(from, random));
}

/// Deep nesting and long tokens.
void repeat_piece(std::string& text, size_t max_bytes, Random& random) {
  if (text.empty() || text.size() >= max_bytes) return;
  const size_t begin = below(random, text.size());
  const std::string piece = text.substr(begin, 1 + below(random, std::min<size_t>(8, text.size() - begin)));
  const size_t count = below(random, (max_bytes - text.size()) / piece.size() + 1);
  std::string repeated;
  for (size_t i = 0; i < count; ++i) repeated += piece;
  text.insert(begin, repeated);
}

void cut_end(std::string& text, Random& random) { text.resize(below(random, text.size() + 1)); }

}  // namespace

std::string mutate(const std::vector<std::string>& seeds, size_t max_bytes, std::mt19937_64& random) {
  std::string text = seeds[below(random, seeds.size())];
  const size_t changes = 1 + below(random, 6);
  for (size_t i = 0; i < changes; ++i) {
    switch (below(random, 16)) {
      case 0: cut_end(text, random); break;
      case 1: remove_piece(text, random); break;
      case 2: insert_piece(text, text, random); break;
      case 3: insert_piece(text, seeds[below(random, seeds.size())], random); break;
      case 4: repeat_piece(text, max_bytes, random); break;
      case 5:
      case 6:
      case 7: set_binary_number(text, random); break;
      case 8:
      case 9: set_written_number(text, random); break;
      case 10:
      case 11:
      case 12: set_byte(text, random); break;
      default: flip_bit(text, random);
    }
  }
  if (text.size() > max_bytes) text.resize(max_bytes);
  return text;
}

}  // namespace loraptor::fuzz
