#include "train/logged_config.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "io/tfevents.h"

namespace loraptor::train {
namespace {

/// They tell about the machine, not about the training.
const std::set<std::string> kPlaces{"pretrained_model_name_or_path",
                                    "clip_l",
                                    "clip_g",
                                    "t5xxl",
                                    "vae",
                                    "tokenizer_cache_dir",
                                    "train_data_dir",
                                    "reg_data_dir",
                                    "in_json",
                                    "dataset_config",
                                    "output_dir",
                                    "logging_dir",
                                    "log_json",
                                    "log_html",
                                    "console_log_file",
                                    "network_weights",
                                    "base_weights",
                                    "resume",
                                    "sample_prompts",
                                    "replay_draws"};

io::HparamValue typed(const std::string& text) {
  if (text == "True" || text == "False") return text == "True";
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  return text;
}

/// A scalar of YAML; texts in double quotes.
std::string yaml(const std::string& text) {
  const auto value = typed(text);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (std::holds_alternative<double>(value)) return text;
  if (text == "None") return "null";
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

void log_config(const TrainConfig& config, const std::filesystem::path& folder) {
  const auto own = folder / fmt::format("{:.6f}", unix_time());
  std::vector<std::pair<std::string, io::HparamValue>> values;
  std::string lines;
  for (const auto& setting : config.all) {
    if (kPlaces.count(setting.name) != 0) continue;
    values.emplace_back(setting.name, typed(setting.value));
    lines += fmt::format("{}: {}\n", setting.name, yaml(setting.value));
  }
  io::EventFile(own).add_hparams(values);
  write_file(own / "hparams.yml", lines);
}

}  // namespace loraptor::train
