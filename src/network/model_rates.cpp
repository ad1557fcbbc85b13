#include "network/model_rates.h"

#include <algorithm>

namespace loraptor::network {
namespace {

/// Of LoRA+; 0 where it is off.
double plus_ratio(const NetworkArgs& args, TargetModel model) {
  const double own = model == TargetModel::mmdit ? args.loraplus_unet_lr_ratio : args.loraplus_text_encoder_lr_ratio;
  return own != 0 ? own : args.loraplus_lr_ratio;
}

}  // namespace

double rate_of(const LearningRates& rates, TargetModel model) {
  const double common = rates.learning_rate.value_or(0);
  if (model == TargetModel::mmdit) return rates.mmdit_lr.value_or(common);
  const auto& given = rates.text_encoder_lr;
  if (given.empty()) return common;
  return given[std::min(static_cast<size_t>(model), given.size() - 1)];
}

bool is_trained(const NetworkConfig& config, TargetModel model) {
  return model == TargetModel::mmdit ? !config.network_train_text_encoder_only : !config.network_train_unet_only;
}

std::vector<double> group_rates(const NetworkArgs& args, const LearningRates& rates, TargetModel model) {
  const double lr = rate_of(rates, model), ratio = plus_ratio(args, model);
  if (lr == 0) return {};
  return ratio == 0 ? std::vector<double>{lr} : std::vector<double>{lr, lr * ratio};
}

std::vector<double> all_group_rates(const NetworkConfig& config, const LearningRates& rates) {
  const NetworkArgs args = parse_network_args(config.network_args);
  std::vector<double> all;
  for (const auto model : {TargetModel::clip_l, TargetModel::clip_g, TargetModel::t5, TargetModel::mmdit}) {
    if (!is_trained(config, model) || (model == TargetModel::t5 && !args.train_t5xxl)) continue;
    const auto own = group_rates(args, rates, model);
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

}  // namespace loraptor::network
