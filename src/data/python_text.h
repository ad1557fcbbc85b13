// Text operations with the rules of Python's str methods, on UTF-8 strings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace loraptor::data {

/// str.strip(): without Unicode white space at both ends.
std::string strip(std::string_view text);

/// The same as a part of `text`.
std::string_view strip_view(std::string_view text);

/// str.split(separator): all pieces, empty ones too. `separator` is not empty.
std::vector<std::string> split(std::string_view text, std::string_view separator);

/// separator.join(pieces).
std::string join(const std::vector<std::string>& pieces, std::string_view separator);

/// str.replace(from, to): every occurrence, left to right. `from` is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

/// str.lower(), character by character.
std::string lower(std::string_view text);

/// os.path.splitext(path)[0]: the path without its last extension.
std::string without_extension(std::string_view path);

/// The extension that without_extension removes, with its dot; "" if there is none.
std::string extension_of(std::string_view path);

/// os.path.basename of a path whose trailing slashes were removed.
std::string base_name(std::string_view path);

/// True if `text` is well-formed UTF-8.
bool is_utf8(std::string_view text);

}  // namespace loraptor::data
