// Options in a TOML file: --config_file and --output_config.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/option_parse.h"

namespace loraptor::cli {

struct ConfigFile {
  GivenOptions options;
  std::map<std::string, std::string> other_metadata;  // keys metadata_<x> that are no options, by <x>
  std::vector<std::string> warnings;
};

/// The file that --config_file names, with .toml appended unless it ends so; none without the option or a name.
std::optional<std::filesystem::path> config_file_path(const GivenOptions& command_line);

/// Reads options from a TOML file. Keys are option names without dashes; the keys of a table count as if they stood at
/// the top, tables inside tables do not count; of a key that appears twice the later one wins. TOML types are kept:
/// 16 for a number stays an integer. Beyond the reference it accepts, with a warning, numbers and booleans in quotes
/// and whole numbers written 100.0, and without one a resolution that is an integer or an array, and a single value
/// for a list. Options whose value nothing reads take any. Unknown keys are warned about with the nearest names.
/// Throws FileError if the file is missing; UsageError naming file, line and key for broken TOML or wrong values.
ConfigFile read_config_file(const std::filesystem::path& path);

/// TOML text of `given`: one line per option that differs from its default, without secrets and the two options of
/// configuration files themselves.
std::string config_file_text(const GivenOptions& given);

/// Writes that text. Throws UsageError if the file is there already.
void write_config_file(const std::filesystem::path& path, const GivenOptions& given);

}  // namespace loraptor::cli
