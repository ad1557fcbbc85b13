// toml++ sorts keys by name, so that the order of a file has to be taken from its positions.
#include "cli/config_file.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/python_format.h"
#include "base/suggest.h"
#include "cli/option_table.h"
#include "cli/option_value.h"
#include "data/config_document.h"

namespace loraptor::cli {
namespace {

struct Entry {
  std::string key;
  const toml::node* node;
  toml::source_position position;
};

std::vector<Entry> flattened(const toml::table& root) {
  std::vector<Entry> entries;
  const auto add = [&](const toml::key& key, const toml::node& node) {
    entries.push_back({std::string(key.str()), &node, key.source().begin});
  };
  for (const auto& [key, node] : root) {
    if (const toml::table* table = node.as_table()) {
      for (const auto& [inner_key, inner_node] : *table) add(inner_key, inner_node);
    } else {
      add(key, node);
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.position < b.position; });
  return entries;
}

/// The value as somebody would type it on the command line; nothing for tables, arrays and dates.
std::optional<std::string> word_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto integer = node.value_exact<int64_t>()) return std::to_string(*integer);
  if (const auto number = node.value_exact<double>()) return python_repr(*number);
  if (const auto flag = node.value_exact<bool>()) return python_repr(*flag);
  return std::nullopt;
}

/// Whether an integer of this value exists.
bool is_int64(double number) { return number == std::floor(number) && std::abs(number) < 0x1p63; }

class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path) : path_(path) {}

  ConfigFile read(const toml::table& root) {
    for (const Entry& entry : flattened(root)) {
      try {
        take(entry);
      } catch (const UsageError& error) {
        problems_.push_back(fmt::format("[{}:{}] {}", path_.string(), entry.position.line, error.what()));
      }
    }
    if (!problems_.empty()) throw UsageError(fmt::format("{}", fmt::join(problems_, "\n")));
    return std::move(file_);
  }

 private:
  void take(const Entry& entry) {
    const Option* option = find_option(entry.key);
    if (option == nullptr) return take_unknown(entry);
    Value value = option->takes_anything() ? recorded(*option, entry) : converted(*option, entry);
    check_choice(*option, value);
    file_.options[option->name] = Given{std::move(value), path_.filename().string()};
  }

  void take_unknown(const Entry& entry) {
    constexpr std::string_view kPrefix = "metadata_";
    const auto word = word_of(*entry.node);
    if (entry.key.rfind(kPrefix, 0) == 0 && word) {
      file_.other_metadata[entry.key.substr(kPrefix.size())] = *word;
      return;
    }
    const std::string suggestion = did_you_mean(entry.key, option_names());
    warn(entry, "unknown key, it has no effect." + (suggestion.empty() ? "" : " " + suggestion));
  }

  void warn(const Entry& entry, const std::string& text) {
    file_.warnings.push_back(fmt::format("[{}:{}] {}: {}", path_.string(), entry.position.line, entry.key, text));
  }

  /// A value that nothing reads: of the option's kind where it fits, else as it is written.
  Value recorded(const Option& option, const Entry& entry) {
    try {
      return converted(option, entry);
    } catch (const UsageError&) {
      if (const auto word = word_of(*entry.node)) return *word;
      std::ostringstream text;
      entry.node->visit([&](const auto& node) { text << node; });
      return text.str();
    }
  }

  Value converted(const Option& option, const Entry& entry) {
    const toml::node& node = *entry.node;
    switch (option.kind) {
      case Kind::flag: return flag_of(option, entry);
      case Kind::texts:
      case Kind::numbers: return list_of(option, entry);
      case Kind::text: return text_of(option, entry);
      case Kind::integer:
        if (const auto integer = node.value_exact<int64_t>()) return *integer;
        if (const auto number = node.value_exact<double>(); number && is_int64(*number)) {
          warn(entry, fmt::format("got {}, taken as an integer.", python_repr(*number)));
          return static_cast<int64_t>(*number);
        }
        break;
      case Kind::number:
        if (const auto integer = node.value_exact<int64_t>()) return *integer;
        if (const auto number = node.value_exact<double>()) return *number;
        break;
      case Kind::steps_or_fraction:
        if (const auto integer = node.value_exact<int64_t>()) return StepsOrFraction{double(*integer), false};
        if (const auto number = node.value_exact<double>()) return steps_of(*number, entry);
        break;
    }
    return from_quotes(option, entry);
  }

  Value from_quotes(const Option& option, const Entry& entry) {
    const auto text = entry.node->value_exact<std::string>();
    if (!text) throw wrong_type(option, entry);
    Value value = parse_word(option, *text);
    if (!std::holds_alternative<std::string>(value)) {
      warn(entry, fmt::format("got the text \"{}\", taken as {}.", *text, python_text(value)));
    }
    return value;
  }

  Value steps_of(double number, const Entry& entry) {
    if (!(number >= 1)) return StepsOrFraction{number, true};
    if (number != std::floor(number)) {
      throw UsageError(
          fmt::format("[--{}] value: got {}, expected an integer or a fraction below 1.", entry.key, number));
    }
    warn(entry, fmt::format("got {}, taken as {} steps.", python_repr(number), number));
    return StepsOrFraction{number, false};
  }

  Value flag_of(const Option& option, const Entry& entry) {
    if (const auto flag = entry.node->value_exact<bool>()) return *flag;
    const auto word = word_of(*entry.node);
    const bool is_true = word && (*word == "true" || *word == "True" || *word == "1");
    const bool is_false = word && (*word == "false" || *word == "False" || *word == "0");
    if (!is_true && !is_false) throw wrong_type(option, entry);
    warn(entry, fmt::format("got {}, taken as {}.", *word, is_true));
    return is_true;
  }

  Value text_of(const Option& option, const Entry& entry) {
    if (const auto text = entry.node->value_exact<std::string>()) return *text;
    const toml::array* array = entry.node->as_array();
    const bool is_pair = option.name == "resolution" || option.name == "face_crop_aug_range";
    if (is_pair && array != nullptr) {
      std::vector<std::string> words;
      for (const toml::node& element : *array) words.push_back(word_of(element).value_or("?"));
      return fmt::format("{}", fmt::join(words, ","));
    }
    const auto word = word_of(*entry.node);
    if (!word) throw wrong_type(option, entry);
    if (!is_pair) warn(entry, fmt::format("got {}, taken as text.", *word));
    return *word;
  }

  Value list_of(const Option& option, const Entry& entry) {
    std::vector<std::string> words;
    const auto add = [&](const toml::node& node) {
      const auto word = word_of(node);
      if (!word) throw wrong_type(option, entry);
      words.push_back(*word);
    };
    if (const toml::array* array = entry.node->as_array()) {
      for (const toml::node& element : *array) add(element);
    } else {
      add(*entry.node);
    }
    if (option.kind == Kind::texts) return words;
    std::vector<double> numbers;
    for (const std::string& word : words) {
      numbers.push_back(std::get<std::vector<double>>(parse_word(option, word))[0]);
    }
    return numbers;
  }

  static UsageError wrong_type(const Option& option, const Entry& entry) {
    std::ostringstream type;
    type << entry.node->type();
    return UsageError(
        fmt::format("[--{}] value: got a TOML {}, expected {}.", option.name, type.str(), kind_name(option.kind)));
  }

  std::filesystem::path path_;
  ConfigFile file_;
  std::vector<std::string> problems_;
};

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_value(const Value& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    std::vector<std::string> items;
    for (const std::string& text : *texts) items.push_back(toml_string(text));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
  return python_text(value);
}

}  // namespace

std::optional<std::filesystem::path> config_file_path(const GivenOptions& command_line) {
  const auto given = command_line.find("config_file");
  if (given == command_line.end()) return std::nullopt;
  const auto& name = std::get<std::string>(given->second.value);
  if (name.empty()) return std::nullopt;
  return name.ends_with(".toml") ? name : name + ".toml";
}

ConfigFile read_config_file(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  toml::table root;
  try {
    root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw UsageError(fmt::format("[{}:{}] TOML: {}.\nHint: {}.", path.string(), error.source().begin.line,
                                 error.description(), data::kTomlHint));
  }
  return FileReader(path).read(root);
}

std::string config_file_text(const GivenOptions& given) {
  std::string text;
  for (const Option& option : all_options()) {
    const auto found = given.find(option.name);
    if (found == given.end() || option.is_secret || option.name == "config_file" || option.name == "output_config") {
      continue;
    }
    if (found->second.value == option.default_value) continue;
    text += fmt::format("{} = {}\n", option.name, toml_value(found->second.value));
  }
  return text;
}

void write_config_file(const std::filesystem::path& path, const GivenOptions& given) {
  if (std::filesystem::exists(path)) {
    throw UsageError(
        fmt::format("[--output_config] {}: got a file that exists already, expected a new name.", path.string()));
  }
  write_file(path, config_file_text(given));
}

}  // namespace loraptor::cli
