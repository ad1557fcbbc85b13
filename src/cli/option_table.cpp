// Joins the tables and finds options by name.
#include "cli/option_table.h"

#include <map>

#include "base/error.h"

namespace loraptor::cli {
namespace {

std::vector<Option> configuration_options() {
  return group("Configuration file",
               {{.name = "config_file",
                 .kind = Kind::text,
                 .help = "Read options from this TOML file; the command line wins over it."},
                {.name = "output_config",
                 .kind = Kind::flag,
                 .default_value = false,
                 .help = "Write the options of the command line to the file of --config_file and end."}});
}

}  // namespace

const std::vector<Option>& all_options() {
  static const std::vector<Option> options = [] {
    std::vector<Option> all;
    for (auto table : {model_options, dataset_options, caching_options, network_options, optimizer_options,
                       flow_options, loop_options, memory_options, saving_options, sampling_options, logging_options,
                       configuration_options, unsupported_options}) {
      for (Option& row : table()) all.push_back(std::move(row));
    }
    return all;
  }();
  return options;
}

const Option* find_option(std::string_view name) {
  static const std::map<std::string, const Option*, std::less<>> by_name = [] {
    std::map<std::string, const Option*, std::less<>> index;
    for (const Option& option : all_options()) {
      const bool is_new = index.emplace(option.name, &option).second;
      LORAPTOR_ASSERT(is_new);
    }
    return index;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

const std::vector<std::string>& option_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Option& option : all_options()) all.push_back(option.name);
    return all;
  }();
  return names;
}

}  // namespace loraptor::cli
