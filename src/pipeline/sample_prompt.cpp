#include "pipeline/sample_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/nesting.h"
#include "data/config_document.h"
#include "data/python_text.h"

namespace loraptor::pipeline {
namespace {

using nlohmann::json;

constexpr int64_t kSizeStep = 16, kMinSide = 64;
constexpr int64_t kMaxSteps = 1000;

int64_t usable_side(const char* name, int64_t side) {
  const int64_t usable = std::max(kMinSide, side - side % kSizeStep);
  if (usable != side) {
    log::warn_once(fmt::format("[sample prompt] {} {} is no multiple of {} from {} up: {} is used.", name, side,
                               kSizeStep, kMinSide, usable));
  }
  return usable;
}

SamplePrompt finished(SamplePrompt prompt) {
  prompt.width = usable_side("width", prompt.width);
  prompt.height = usable_side("height", prompt.height);
  return prompt;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

template <class Number>
bool parse_number(const std::string& text, Number& out) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

/// The value is as much as consists of these characters (none given: of any but line ends). Text after it is allowed
/// and ignored, as in the reference.
struct OptionRow {
  std::string_view name;
  std::string_view characters;
  bool (*set)(SamplePrompt& prompt, const std::string& value);  // null: the reference reads it for other models
};

constexpr std::string_view kDigits = "0123456789", kDecimal = "0123456789.", kList = "0123456789,", kText = "";

const OptionRow kOptions[] = {
    {"w", kDigits, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.width); }},
    {"h", kDigits, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.height); }},
    {"d", kDigits,
     [](SamplePrompt& p, const std::string& v) {
       int64_t seed = 0;
       if (!parse_number(v, seed)) return false;
       p.seed = seed;
       return true;
     }},
    {"s", kDigits,
     [](SamplePrompt& p, const std::string& v) {
       int64_t steps = 0;
       if (!parse_number(v, steps)) return false;
       p.steps = std::clamp<int64_t>(steps, 1, kMaxSteps);
       return true;
     }},
    {"l", kDecimal, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.scale); }},
    {"n", kText,
     [](SamplePrompt& p, const std::string& v) {
       p.negative_prompt = v;
       return true;
     }},
    {"slg_scale", kDecimal, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.slg.scale); }},
    {"slg_start", kDecimal, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.slg.start); }},
    {"slg_end", kDecimal, [](SamplePrompt& p, const std::string& v) { return parse_number(v, p.slg.end); }},
    {"slg_layers", kList,
     [](SamplePrompt& p, const std::string& v) {
       const auto layers = parse_layers(v);
       if (layers) p.slg.layers = *layers;
       return layers.has_value();
     }},
    {"g", kText, nullptr},
    {"ctr", kText, nullptr},
    {"rcfg", kText, nullptr},
    {"fs", kText, nullptr},
    {"ss", kText, nullptr},
    {"cn", kText, nullptr},
};

/// Name, a blank and a value; the name in any case of letters.
std::optional<std::string> value_of(const OptionRow& row, std::string_view piece) {
  const auto is_same = [](unsigned char a, unsigned char b) { return std::tolower(a) == b; };
  const std::string_view name = piece.substr(0, row.name.size());
  if (!std::equal(name.begin(), name.end(), row.name.begin(), row.name.end(), is_same)) return std::nullopt;
  std::string_view rest = piece.substr(name.size());
  if (!rest.starts_with(' ')) return std::nullopt;
  rest.remove_prefix(1);
  const size_t end = row.characters.empty() ? rest.find_first_of("\r\n") : rest.find_first_not_of(row.characters);
  rest = rest.substr(0, end);
  return rest.empty() ? std::nullopt : std::optional(std::string(rest));
}

void apply_option(SamplePrompt& prompt, const std::string& piece, const std::string& where) {
  for (const auto& row : kOptions) {
    const auto value = value_of(row, piece);
    if (!value) continue;
    if (row.set == nullptr) {
      log::warn_once(fmt::format("[{}] option '--{}' has no effect with SD3.", where, piece));
      return;
    }
    SamplePrompt changed = prompt;
    if (row.set(changed, *value)) {
      prompt = changed;
    } else {
      log::warn_once(fmt::format("[{}] option '--{}' is skipped: got '{}', expected a number.", where, piece, *value));
    }
    return;
  }
  log::warn_once(
      fmt::format("[{}] option '--{}' is skipped: expected w, h, d, s, l, n or an slg_ option, a blank and a value.",
                  where, piece));
}

/// A line is split at " --"; the first piece is the prompt.
SamplePrompt parse_pieces(std::string_view line, const std::string& where) {
  SamplePrompt prompt;
  const std::string_view separator = " --";
  size_t end = std::min(line.find(separator), line.size());
  prompt.prompt = line.substr(0, end);
  while (end < line.size()) {
    const size_t begin = end + separator.size();
    end = std::min(line.find(separator, begin), line.size());
    apply_option(prompt, std::string(line.substr(begin, end - begin)), where);
  }
  return prompt;
}

/// Reads objects of JSON and tables of TOML.
class ObjectReader {
 public:
  ObjectReader(const std::filesystem::path& path, std::string where) : path_(path), where_(std::move(where)) {}

  SamplePrompt read(const json& object) const {
    SamplePrompt prompt;
    for (const auto& [key, value] : object.items()) {
      if (value.is_null() || read_key(prompt, key, value)) continue;
      log::warn_once(fmt::format("[{}] {}, key '{}' has no effect: expected {}.", path_.string(), where_, key, kKeys));
    }
    return finished(prompt);
  }

 private:
  static constexpr const char* kKeys =
      "prompt, negative_prompt, width, height, sample_steps, scale, seed, slg_scale, slg_layers, slg_start or slg_end";

  bool read_key(SamplePrompt& prompt, const std::string& key, const json& value) const {
    if (key == "prompt") return set(prompt.prompt, text(key, value));
    if (key == "negative_prompt") return set(prompt.negative_prompt, text(key, value));
    if (key == "width") return set(prompt.width, whole(key, value, 1));
    if (key == "height") return set(prompt.height, whole(key, value, 1));
    if (key == "sample_steps") return set(prompt.steps, whole(key, value, 1));
    if (key == "scale") return set(prompt.scale, number(key, value));
    if (key == "seed") return set(prompt.seed, whole(key, value, std::numeric_limits<int64_t>::min()));
    if (key == "slg_scale") return set(prompt.slg.scale, number(key, value));
    if (key == "slg_start") return set(prompt.slg.start, number(key, value));
    if (key == "slg_end") return set(prompt.slg.end, number(key, value));
    if (key == "slg_layers") return set(prompt.slg.layers, layers(key, value));
    return false;
  }

  template <class Field, class Value>
  static bool set(Field& field, Value value) {
    field = std::move(value);
    return true;
  }

  [[noreturn]] void wrong(const std::string& key, const json& value, const char* expected) const {
    throw FileError(path_, fmt::format("{}, key '{}': got {}, expected {}.", where_, key, value.dump(), expected));
  }
  std::string text(const std::string& key, const json& value) const {
    if (!value.is_string()) wrong(key, value, "a text");
    return value.get<std::string>();
  }
  double number(const std::string& key, const json& value) const {
    if (!value.is_number()) wrong(key, value, "a number");
    return value.get<double>();
  }
  std::vector<int64_t> layers(const std::string& key, const json& value) const {
    if (!value.is_array()) wrong(key, value, "a list of block numbers");
    std::vector<int64_t> numbers;
    for (const auto& item : value) numbers.push_back(whole(key, item, 0));
    return numbers;
  }
  int64_t whole(const std::string& key, const json& value, int64_t least) const {
    if (value.is_number_unsigned() && value.get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
      wrong(key, value, "a number below 2^63");
    }
    const double rounded = value.is_number() ? value.get<double>() : 0.5;
    if (rounded != std::floor(rounded) || std::abs(rounded) > 9.3e18) wrong(key, value, "a whole number");
    const int64_t result = value.is_number_float() ? static_cast<int64_t>(rounded) : value.get<int64_t>();
    if (result < least) wrong(key, value, "a positive number");
    return result;
  }

  const std::filesystem::path& path_;
  std::string where_;
};

std::vector<SamplePrompt> read_text(const std::filesystem::path& path) {
  std::string text = read_file(path);
  if (!data::is_utf8(text)) throw FileError(path, "got bytes that are no UTF-8, expected text in UTF-8.");
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  std::vector<SamplePrompt> prompts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    if (trimmed(line).empty() || line.front() == '#') continue;
    prompts.push_back(parse_prompt_line(trimmed(line), path.string()));
  }
  return prompts;
}

std::vector<SamplePrompt> read_toml(const std::filesystem::path& path) {
  const json root = data::read_config_document(path).root;
  const auto table = root.find("prompt");
  if (table == root.end() || !table->is_object()) {
    throw FileError(path,
                    "table [prompt] is missing: got other keys, expected [prompt] with [[prompt.subset]] below it.");
  }
  json common = *table;
  const json subsets = common.value("subset", json::array());
  common.erase("subset");
  if (!subsets.is_array()) throw FileError(path, "prompt.subset: got no array, expected [[prompt.subset]].");
  if (subsets.empty()) return {ObjectReader(path, "prompt").read(common)};
  std::vector<SamplePrompt> prompts;
  for (size_t i = 0; i < subsets.size(); ++i) {
    const std::string where = fmt::format("prompt.subset[{}]", i);
    if (!subsets[i].is_object()) throw FileError(path, fmt::format("{}: got no table, expected one.", where));
    json merged = common;
    merged.update(subsets[i]);
    prompts.push_back(ObjectReader(path, where).read(merged));
  }
  return prompts;
}

std::vector<SamplePrompt> read_json(const std::filesystem::path& path) {
  json root;
  try {
    const std::string text = read_file(path);
    if (nests_deeper(text)) throw FileError(path, fmt::format("not JSON of at most {} levels.", kMaxJsonLevels));
    root = json::parse(text);
  } catch (const json::exception& error) {  // also for numbers that are too large
    throw FileError(path, fmt::format("not JSON: {}.", error.what()));
  }
  if (!root.is_array()) throw FileError(path, "got no array, expected an array of texts or objects.");
  std::vector<SamplePrompt> prompts;
  for (size_t i = 0; i < root.size(); ++i) {
    const std::string where = fmt::format("entry {}", i);
    if (root[i].is_string()) {
      prompts.push_back(parse_prompt_line(root[i].get<std::string>(), path.string()));
    } else if (root[i].is_object()) {
      prompts.push_back(ObjectReader(path, where).read(root[i]));
    } else {
      throw FileError(path, fmt::format("{}: got {}, expected a text or an object.", where, root[i].dump()));
    }
  }
  return prompts;
}

}  // namespace

std::optional<std::vector<int64_t>> parse_layers(const std::string& text) {
  std::vector<int64_t> layers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    int64_t layer = 0;
    if (!parse_number(text.substr(begin, comma - begin), layer) || layer < 0) return std::nullopt;
    layers.push_back(layer);
    begin = comma + 1;
  }
  return layers;
}

SamplePrompt parse_prompt_line(std::string_view line, const std::string& where) {
  return finished(parse_pieces(line, where));
}

std::vector<SamplePrompt> read_prompt_file(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  const auto told = [&](std::vector<SamplePrompt> prompts) {
    if (prompts.empty()) log::warn("[{}] no prompt: no image is made of it.", path.string());
    return prompts;
  };
  if (extension == ".txt") return told(read_text(path));
  if (extension == ".toml") return told(read_toml(path));
  if (extension == ".json") return told(read_json(path));
  throw UsageError(
      fmt::format("[--sample_prompts] file name: got '{}', expected a name that ends with .txt, .toml or "
                  ".json.",
                  path.string()));
}

}  // namespace loraptor::pipeline
