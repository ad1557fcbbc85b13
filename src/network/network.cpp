#include "network/network.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "network/factor_network.h"
#include "network/lora_network.h"

namespace loraptor::network {
namespace {

std::unique_ptr<Network> create_lora(const NetworkConfig& config, const std::vector<TargetLinear>& targets,
                                     const NetworkSetup& setup) {
  const NetworkArgs args = parse_network_args(config.network_args);
  if (config.dim_from_weights && !config.network_weights) {
    throw UsageError("[--dim_from_weights] --network_weights: got none, expected the file to take the ranks from.");
  }
  const auto plans = config.dim_from_weights
                         ? plan_modules_from_file(config, args, read_lora_file(*config.network_weights), targets)
                         : plan_modules(config, args, targets);
  if (plans.empty()) {
    throw UsageError(
        "[network] modules: got none to train, expected at least one.\nHint: look at --network_dim, the "
        "*_dim and train_block_indices items of --network_args, and the --network_train_*_only flags.");
  }
  std::unique_ptr<Network> network;
  if (args.algo.is_beyond_lora()) {
    network = std::make_unique<FactorNetwork>(config, args, plans, setup);
  } else {
    network = std::make_unique<LoraNetwork>(config, args, plans, setup);
  }
  if (config.network_weights) network->load(*config.network_weights);
  log::info("{}", network->describe());
  return network;
}

using Factory = std::unique_ptr<Network> (*)(const NetworkConfig&, const std::vector<TargetLinear>&,
                                             const NetworkSetup&);

struct NetworkRow {
  const char* name;
  Factory create;
};

/// Guides for SD3 name either of the first two. Whatever the module, `algo` and `dora_wd` in --network_args choose.
constexpr NetworkRow kNetworks[] = {
    {"networks.lora_sd3", create_lora}, {"networks.lora", create_lora}, {"lycoris.kohya", create_lora}};

}  // namespace

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const auto& row : kNetworks) names.emplace_back(row.name);
  return names;
}

std::unique_ptr<Network> create_network(const NetworkConfig& config, const std::vector<TargetLinear>& targets,
                                        const NetworkSetup& setup) {
  const std::string name = config.network_module.value_or(kNetworks[0].name);
  for (const auto& row : kNetworks) {
    if (name == row.name) return row.create(config, targets, setup);
  }
  throw UsageError(
      fmt::format("[--network_module] network: got '{}', expected one of {}.", name, fmt::join(network_names(), ", ")));
}

}  // namespace loraptor::network
