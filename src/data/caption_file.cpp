// The caption file beside an image.
#include "data/caption_file.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/python_text.h"

namespace loraptor::data {

namespace fs = std::filesystem;

namespace {

/// Two searches for one character are many times faster than find_first_of.
std::string_view first_line(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  return text.substr(0, text.find('\r'));
}

/// The caption in a file of its own.
StoredCaption read_file_caption(const std::string& path, bool all_lines) {
  std::string joined;
  const std::string bytes = read_file(path);
  return {std::string(parse_caption(path, bytes, all_lines, joined)), true};
}

}  // namespace

std::string_view parse_caption(const std::string& path, std::string_view text, bool all_lines, std::string& joined) {
  if (text.empty()) {
    throw FileError(path,
                    "caption file: got 0 bytes, expected text.\nHint: write a caption, or a blank line for an "
                    "empty caption, or delete the file.");
  }
  if (!is_utf8(text)) {
    throw FileError(path, "caption file: got bytes that are not UTF-8, expected UTF-8 text.\nHint: save it as UTF-8.");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (!all_lines) return strip_view(first_line(text));
  const std::vector<std::string> lines = split(replace_all(replace_all(text, "\r\n", "\n"), "\r", "\n"), "\n");
  std::vector<std::string> kept;
  for (const std::string& line : lines) {
    if (std::string stripped = strip(line); !stripped.empty()) kept.push_back(std::move(stripped));
  }
  joined = join(kept, "\n");
  return joined;
}

StoredCaption caption_elsewhere(const std::string& image_path, const CaptionFileRules& rules) {
  constexpr std::ptrdiff_t kFaceNumbers = 4;  // _cx_cy_w_h
  if (std::count(image_path.begin(), image_path.end(), '_') >= kFaceNumbers) {
    std::vector<std::string> pieces = split(without_extension(image_path), "_");
    if (pieces.size() > kFaceNumbers) {
      pieces.resize(pieces.size() - kFaceNumbers);
      const std::string path = join(pieces, "_") + rules.extension;
      if (fs::is_regular_file(path)) return read_file_caption(path, rules.all_lines);
    }
  }
  return {rules.class_tokens.value_or(""), false};
}

StoredCaption read_caption(const std::string& image_path, const CaptionFileRules& rules) {
  const std::string path = without_extension(image_path) + rules.extension;
  if (fs::is_regular_file(path)) return read_file_caption(path, rules.all_lines);
  return caption_elsewhere(image_path, rules);
}

}  // namespace loraptor::data
