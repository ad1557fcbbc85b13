#include "train/path_check.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/log.h"

namespace loraptor::train {
namespace {

std::string empty_path(const char* flag) {
  return fmt::format("[--{0}] path: got an empty one, expected a name.\nHint: leave --{0} out.", flag);
}

}  // namespace

std::vector<std::string> empty_paths(const TrainConfig& config) {
  const std::pair<const char*, const std::optional<std::string>*> paths[] = {
      {"dataset_config", &config.data.dataset_config},
      {"train_data_dir", &config.data.train_data_dir},
      {"reg_data_dir", &config.data.reg_data_dir},
      {"in_json", &config.data.in_json},
      {"network_weights", &config.network.network_weights},
      {"output_dir", &config.saving.output_dir},
      {"logging_dir", &config.logging.logging_dir},
      {"log_json", &config.logging.log_json},
      {"log_html", &config.logging.log_html},
      {"replay_draws", &config.loop.replay_draws},
  };
  std::vector<std::string> problems;
  for (const auto& [flag, path] : paths) {
    if (*path && (*path)->empty()) problems.push_back(empty_path(flag));
  }
  if (!config.data.dataset_config && config.data.in_json && !config.data.train_data_dir) {
    problems.emplace_back("[--train_data_dir] image folder: got none, expected that of the images in --in_json.");
  }
  for (const auto& file : config.network.base_weights) {
    if (file.empty()) problems.push_back(empty_path("base_weights"));
  }
  return problems;
}

std::vector<std::string> missing_files(const TrainConfig& config) {
  std::vector<std::string> problems;
  std::error_code code;
  const auto is_missing_folder = [&](const std::optional<std::string>& folder) {
    return folder && !folder->empty() && !std::filesystem::is_directory(*folder, code);
  };
  const auto& data = config.data;
  if (is_missing_folder(data.reg_data_dir)) {
    log::warn("[--reg_data_dir] there is no folder '{}': no regularisation images are used.", *data.reg_data_dir);
  }
  if (is_missing_folder(data.train_data_dir)) {
    problems.push_back(fmt::format(
        "[--train_data_dir] folder: got '{}', which is not there or no folder, expected {}.", *data.train_data_dir,
        data.in_json ? "the folder of the images in --in_json"
                     : "one that holds folders of images named <repeats>_<name>, as 10_cat"));
  }
  const auto check = [&](const char* flag, const std::string& file) {
    if (file.empty() || std::filesystem::exists(file, code)) return;
    problems.push_back(fmt::format("[--{}] file: got '{}', which is not there.", flag, file));
  };
  check("network_weights", config.network.network_weights.value_or(""));
  check("replay_draws", config.loop.replay_draws.value_or(""));
  for (const auto& file : config.network.base_weights) check("base_weights", file);
  return problems;
}

}  // namespace loraptor::train
