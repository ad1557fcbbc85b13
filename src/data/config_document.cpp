// A TOML or JSON file as one tree.
#include "data/config_document.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/nesting.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

template <class T>
json date_as_binary(const T& value) {
  std::ostringstream text;
  text << value;
  const std::string bytes = text.str();
  return json::binary({bytes.begin(), bytes.end()});
}

json convert(const toml::node& node, const std::string& path, std::map<std::string, int>& lines) {
  lines[path] = static_cast<int>(node.source().begin.line);
  if (const auto* table = node.as_table()) {
    json result = json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      result[name] = convert(value, path.empty() ? name : path + "." + name, lines);
    }
    return result;
  }
  if (const auto* array = node.as_array()) {
    json result = json::array();
    for (size_t i = 0; i < array->size(); ++i) {
      result.push_back(convert((*array)[i], fmt::format("{}[{}]", path, i), lines));
    }
    return result;
  }
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_date()) return date_as_binary(value->get());
  if (const auto* value = node.as_time()) return date_as_binary(value->get());
  return date_as_binary(node.as_date_time()->get());
}

/// Whether a key has more than 64 parts between dots: the parser makes a table within a table of each. Quoted texts and
/// comments are passed over.
bool has_long_dotted_key(std::string_view text) {
  constexpr int kMaxDots = 64;
  constexpr std::string_view kBetweenDots = "_- \t";
  int dots = 0;
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      if (c == '\\' && quote == '"') ++i;
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      dots = 0;
    } else if (c == '.') {
      if (++dots > kMaxDots) return true;
    } else if (std::isalnum(static_cast<unsigned char>(c)) == 0 && kBetweenDots.find(c) == std::string_view::npos) {
      dots = 0;
    }
  }
  return false;
}

ConfigDocument read_toml(const std::filesystem::path& path) {
  ConfigDocument document{path.string(), {}, {}};
  try {
    const std::string text = read_file(path);
    if (has_long_dotted_key(text)) throw FileError(path, "TOML: got a key of more than 64 parts, expected fewer.");
    const toml::table table = toml::parse(text, path.string());
    document.root = convert(table, "", document.lines);
  } catch (const toml::parse_error& error) {
    throw FileError(path, fmt::format("line {}, column {}: {}.\nHint: {}.", error.source().begin.line,
                                      error.source().begin.column, error.description(), kTomlHint));
  }
  return document;
}

ConfigDocument read_json(const std::filesystem::path& path) {
  ConfigDocument document{path.string(), {}, {}};
  try {
    const std::string text = read_file(path);
    if (nests_deeper(text)) throw FileError(path, fmt::format("JSON text: got more than {} levels.", kMaxJsonLevels));
    document.root = json::parse(text);
  } catch (const json::exception& error) {  // also for numbers that are too large
    throw FileError(path, fmt::format("JSON text: {}.", error.what()));
  }
  return document;
}

}  // namespace

ConfigDocument read_config_document(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (!name.ends_with(".toml") && !name.ends_with(".json")) {
    throw UsageError(fmt::format(
        "[--dataset_config] file name: got '{}', expected a name that ends with .toml or .json.", path.string()));
  }
  return name.ends_with(".toml") ? read_toml(path) : read_json(path);
}

void ConfigProblems::add(const std::string& key, const std::string& text) {
  std::string where = document_.name;
  if (const auto line = document_.lines.find(key); line != document_.lines.end() && line->second > 0) {
    where += fmt::format(", line {}", line->second);
  }
  if (!key.empty()) where += ", " + key;
  texts_.push_back(fmt::format("[{}] {}", where, text));
}

void ConfigProblems::throw_if_any() const {
  if (texts_.empty()) return;
  if (texts_.size() == 1) throw UsageError(texts_.front());
  throw UsageError(
      fmt::format("{} problems in the description of the data sets:\n{}", texts_.size(), join(texts_, "\n")));
}

std::string describe(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::object: return "a table";
    case json::value_t::array: return "the array " + value.dump();
    case json::value_t::string: return "the text " + value.dump();
    case json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case json::value_t::number_float: return fmt::format("the number {}", value.get<double>());
    case json::value_t::binary: {
      const auto& bytes = value.get_binary();
      return "the date " + std::string(bytes.begin(), bytes.end());
    }
    default: return "the whole number " + value.dump();
  }
}

}  // namespace loraptor::data
