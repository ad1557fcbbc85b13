// Settings that are given and change nothing.
#include <algorithm>

#include <fmt/format.h>

#include "network/network_args.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer.h"
#include "train/train_config_check.h"

namespace loraptor::train {
namespace {

using Warnings = std::vector<std::string>;

bool is_given(const TrainConfig& config, const char* option) { return config.origins.count(option) != 0; }

/// Front ends pass these with their usual values whatever the schedule.
bool is_usual_value(const optim::ScheduleConfig& schedule, const std::string& option) {
  const optim::ScheduleConfig usual;
  return (option == "lr_scheduler_num_cycles" && schedule.lr_scheduler_num_cycles == usual.lr_scheduler_num_cycles) ||
         (option == "lr_scheduler_power" && schedule.lr_scheduler_power == usual.lr_scheduler_power) ||
         (option == "lr_warmup_steps" && schedule.lr_warmup_steps.value == 0) ||
         (option == "lr_decay_steps" && schedule.lr_decay_steps.value == 0);
}

/// Schedule options that the optimizer, or the schedule that is chosen, does not look at.
void find_unused_schedule(const TrainConfig& config, Warnings& warnings) {
  const auto& schedule = config.schedule;
  const auto traits = optim::optimizer_traits(config.optimizer);
  const bool has_schedule = !traits.own_schedule && !traits.schedule_free;
  for (const auto& [name, origin] : config.origins) {
    if (!name.starts_with("lr_") || is_usual_value(schedule, name)) continue;
    if (!has_schedule) {
      if (name == "lr_scheduler" && schedule.lr_scheduler == "adafactor") continue;
      warnings.push_back(fmt::format("--{} has no effect: {} {}.", name, traits.type,
                                     traits.own_schedule ? "chooses its own learning rate" : "needs no schedule"));
    } else if (!optim::lr_schedule_reads(schedule, name)) {
      const bool has_class = !schedule.lr_scheduler_type.empty();
      warnings.push_back(fmt::format("--{} has no effect with --{} {}.", name,
                                     has_class ? "lr_scheduler_type" : "lr_scheduler",
                                     has_class ? schedule.lr_scheduler_type : schedule.lr_scheduler));
    }
  }
}

/// Ranks and alphas that the file of --network_weights decides.
void find_unused_ranks(const TrainConfig& config, Warnings& warnings) {
  constexpr std::string_view kKeys[] = {"context_attn_dim", "context_mlp_dim",    "context_mod_dim",
                                        "x_attn_dim",       "x_mlp_dim",          "x_mod_dim",
                                        "emb_dims",         "train_block_indices"};
  std::string unused;
  const auto add = [&](const std::string& name) { unused += (unused.empty() ? "" : ", ") + name; };
  for (const char* option : {"network_dim", "network_alpha"}) {
    if (is_given(config, option)) add(fmt::format("--{}", option));
  }
  for (const auto& item : config.network.network_args) {
    const std::string key = item.substr(0, item.find('='));
    if (std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys)) add(key);
  }
  if (unused.empty()) return;
  warnings.push_back(fmt::format("[--dim_from_weights] no effect: {}; modules, ranks and alphas are those of {}.",
                                 unused, *config.network.network_weights));
}

}  // namespace

Warnings find_unused_settings(const TrainConfig& config) {
  Warnings warnings = network::parse_network_args(config.network.network_args).warnings;
  find_unused_schedule(config, warnings);
  if (config.network.dim_from_weights) find_unused_ranks(config, warnings);
  if (config.logging.log_config && !config.logging.logging_dir) {
    warnings.emplace_back("--log_config has no effect without --logging_dir, the folder to write the options to.");
  }
  return warnings;
}

}  // namespace loraptor::train
