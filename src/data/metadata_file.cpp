// Lists of images with captions and tags.
#include "data/metadata_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/nesting.h"
#include "data/config_document.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json parse(const std::string& path, const std::string& text, const std::string& place) {
  if (nests_deeper(text)) {
    throw FileError(path, fmt::format("{}JSON text: got more than {} levels.", place, kMaxJsonLevels));
  }
  try {
    return ordered_json::parse(text);
  } catch (const ordered_json::exception& error) {
    throw FileError(path, fmt::format("{}JSON text: {}.", place, error.what()));
  }
}

/// One object {key: fields} from lines that name the image in a field.
ordered_json read_lines(const std::string& path, const std::string& text) {
  ordered_json result = ordered_json::object();
  std::vector<std::string> lines = split(text, "\n");
  if (lines.back().empty()) lines.pop_back();
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string place = fmt::format("line {}: ", i + 1);
    ordered_json entry = parse(path, lines[i], place);
    if (!entry.is_object() || !entry.contains("image_path") || !entry["image_path"].is_string()) {
      throw FileError(path, place + "entry: got " + describe(json(entry)) + ", expected a table with 'image_path'.");
    }
    const auto key = entry["image_path"].get<std::string>();
    result[key] = std::move(entry);
  }
  return result;
}

std::string text_field(const std::string& path, const std::string& key, const ordered_json& entry, const char* name) {
  if (!entry.contains(name) || entry[name].is_null()) return "";
  if (entry[name].is_string()) return entry[name].get<std::string>();
  throw FileError(path, fmt::format("{} of '{}': got {}, expected a text.", name, key, describe(json(entry[name]))));
}

std::optional<Size> size_field(const std::string& path, const std::string& key, const ordered_json& entry) {
  if (!entry.contains("image_size") || entry["image_size"].is_null()) return std::nullopt;
  const ordered_json& value = entry["image_size"];
  const auto is_side = [](const ordered_json& side) { return side.is_number_integer() && side.get<int64_t>() > 0; };
  if (!value.is_array() || value.size() != 2 || !is_side(value[0]) || !is_side(value[1])) {
    throw FileError(path,
                    fmt::format("image_size of '{}': got {}, expected [width, height].", key, describe(json(value))));
  }
  return Size{value[0].get<int64_t>(), value[1].get<int64_t>()};
}

std::string caption_with_tags(const std::string& caption, const std::string& tags, const MetadataRules& rules) {
  if (!rules.every_line) {
    if (caption.empty() || tags.empty()) return caption + tags;
    return caption + rules.separator + tags;
  }
  std::vector<std::string> lines;
  for (const std::string& line : split(caption, "\n")) {
    if (!strip(line).empty()) lines.push_back(tags.empty() ? line : line + rules.separator + tags);
  }
  return lines.empty() ? tags : join(lines, "\n");
}

int64_t characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace

std::vector<MetadataEntry> read_metadata_file(const std::string& path, const MetadataRules& rules) {
  const std::string text = read_file(path);
  if (!is_utf8(text)) throw FileError(path, "metadata file: got bytes that are not UTF-8, expected UTF-8 text.");
  if (text.starts_with("\xef\xbb\xbf")) {  // refused as by the reference
    throw FileError(path, 0,
                    "metadata file: got a byte order mark, expected JSON.\nHint: save it as UTF-8 without BOM.");
  }
  const ordered_json root = path.ends_with(".jsonl") ? read_lines(path, text) : parse(path, text, "");
  if (!root.is_object()) {
    throw FileError(path, "metadata file: got " + describe(json(root)) + ", expected a table of images.");
  }
  std::vector<MetadataEntry> entries;
  for (const auto& [key, fields] : root.items()) {
    if (!fields.is_object()) {
      throw FileError(path, fmt::format("entry '{}': got {}, expected a table.", key, describe(json(fields))));
    }
    MetadataEntry entry{key, "", text_field(path, key, fields, "tags"), size_field(path, key, fields)};
    if (rules.every_line) entry.tags = replace_all(entry.tags, "\n", rules.separator);
    entry.caption = caption_with_tags(text_field(path, key, fields, "caption"), entry.tags, rules);
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const MetadataEntry& a, const MetadataEntry& b) {
    return characters(a.key) > characters(b.key);
  });
  return entries;
}

}  // namespace loraptor::data
