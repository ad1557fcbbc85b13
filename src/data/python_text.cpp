// Text operations with the rules of Python's str methods.
#include "data/python_text.h"

#include <utf8proc.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace loraptor::data {
namespace {

/// str.isspace() of one character.
bool is_space(int32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

/// Where the text's ASCII from `position` on ends.
size_t ascii_end(std::string_view text, size_t position) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  for (uint64_t eight; position + sizeof eight <= text.size(); position += sizeof eight) {
    std::memcpy(&eight, text.data() + position, sizeof eight);
    if ((eight & kHighBits) != 0) break;
  }
  while (position < text.size() && is_ascii(text[position])) ++position;
  return position;
}

/// The character at `position` and its length in bytes; a broken sequence counts as one strange character.
std::pair<int32_t, size_t> character_at(std::string_view text, size_t position) {
  if (is_ascii(text[position])) return {text[position], 1};
  utf8proc_int32_t code = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data() + position);
  const utf8proc_ssize_t length = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - position), &code);
  if (length <= 0) return {-1, 1};
  return {code, static_cast<size_t>(length)};
}

size_t extension_start(std::string_view path) {
  const size_t slash = path.rfind('/');
  const size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || dot < name) return path.size();
  // Dots at the start of a name do not begin an extension.
  return path.find_first_not_of('.', name) < dot ? dot : path.size();
}

}  // namespace

std::string strip(std::string_view text) { return std::string(strip_view(text)); }

std::string_view strip_view(std::string_view text) {
  size_t begin = 0;
  while (begin < text.size()) {
    const auto [code, length] = character_at(text, begin);
    if (!is_space(code)) break;
    begin += length;
  }
  size_t end = text.size();
  while (end > begin) {
    size_t start = end - 1;
    while (start > begin && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    if (!is_space(character_at(text, start).first)) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  LORAPTOR_ASSERT(!separator.empty());
  std::vector<std::string> pieces;
  size_t begin = 0;
  for (size_t at; (at = text.find(separator, begin)) != std::string_view::npos; begin = at + separator.size()) {
    pieces.emplace_back(text.substr(begin, at - begin));
  }
  pieces.emplace_back(text.substr(begin));
  return pieces;
}

std::string join(const std::vector<std::string>& pieces, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i != 0) text += separator;
    text += pieces[i];
  }
  return text;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  return join(split(text, from), to);
}

std::string lower(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    if (is_ascii(text[i])) {
      const char c = text[i++];
      result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      continue;
    }
    const auto [code, length] = character_at(text, i);
    if (code < 0) {
      result += text[i];
    } else {
      utf8proc_uint8_t buffer[4];
      const auto written = utf8proc_encode_char(utf8proc_tolower(code), buffer);
      result.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(written));
    }
    i += length;
  }
  return result;
}

std::string without_extension(std::string_view path) { return std::string(path.substr(0, extension_start(path))); }

std::string extension_of(std::string_view path) { return std::string(path.substr(extension_start(path))); }

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));  // npos + 1 is 0
}

bool is_utf8(std::string_view text) {
  for (size_t i = ascii_end(text, 0); i < text.size(); i = ascii_end(text, i)) {
    const auto [code, length] = character_at(text, i);
    if (code < 0) return false;
    i += length;
  }
  return true;
}

}  // namespace loraptor::data
