// A TOML or JSON file as one tree, with the line of every TOML key, and the list of what is wrong with it.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loraptor::data {

/// The tree of a file. TOML dates become JSON binaries that hold their text.
struct ConfigDocument {
  std::string name;  // for messages: the file as the user wrote it, or "command line"
  nlohmann::json root;
  std::map<std::string, int> lines;  // "datasets[0].subsets[1].flip_aug" -> line, TOML only
};

/// Reads `path` by its extension, .toml or .json in any case.
/// Throws UsageError for another extension; FileError if the file is missing or cannot be parsed.
ConfigDocument read_config_document(const std::filesystem::path& path);

/// What to try where a file is no TOML.
inline constexpr const char* kTomlHint =
    "expected TOML, see https://toml.io: paths with / or in single quotes, true and false in lower case";

/// Collects problems, so that the user sees all of them at once.
class ConfigProblems {
 public:
  explicit ConfigProblems(const ConfigDocument& document) : document_(document) {}

  /// Adds "[file, line N, key] text".
  void add(const std::string& key, const std::string& text);
  bool empty() const { return texts_.empty(); }
  /// Throws UsageError with all texts, if there are any.
  void throw_if_any() const;

 private:
  const ConfigDocument& document_;
  std::vector<std::string> texts_;
};

/// A value for a message: `the number 3`, `the text "x"`, `a table`.
std::string describe(const nlohmann::json& value);

}  // namespace loraptor::data
