// The caption file beside an image.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace loraptor::data {

/// Which caption file belongs to an image, and what stands in for a missing one.
struct CaptionFileRules {
  std::string extension = ".caption";       // with its dot; may be empty
  bool all_lines = false;                   // keep every line (wildcard captions) instead of the first only
  std::optional<std::string> class_tokens;  // used when there is no file
};

struct StoredCaption {
  std::string text;
  bool found = false;  // false: no file; `text` is the class tokens, or empty
};

/// Reads the caption of `image_path`: the file with the same name and the caption's extension, or, for images named
/// name_cx_cy_w_h by a face detector, name + extension. Line ends of any kind; Unicode white space is stripped; a byte
/// order mark is dropped. With all_lines blank lines are dropped and the others joined by '\n'.
/// Throws FileError if the file is empty or not UTF-8.
/// Source: sd-scripts@48d368f library/train_util.py:DreamBoothDataset.read_caption.
StoredCaption read_caption(const std::string& image_path, const CaptionFileRules& rules);

/// The caption of an image that has none of its own name: that of the face detector's name, or the class tokens.
StoredCaption caption_elsewhere(const std::string& image_path, const CaptionFileRules& rules);

/// The caption in the bytes of a caption file: its first line, or with all_lines all lines that are not blank.
/// Throws FileError naming `path` if there are no bytes or if they are not UTF-8.
///   joined   where the lines are written with all_lines
/// Returns a part of `text` or of `joined`.
std::string_view parse_caption(const std::string& path, std::string_view text, bool all_lines, std::string& joined);

}  // namespace loraptor::data
