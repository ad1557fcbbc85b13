#include "network/model_rates.h"

#include <algorithm>

namespace loraptor::network {

double rate_of(const LearningRates& rates, TargetModel model) {
  const double common = rates.learning_rate.value_or(0);
  if (model == TargetModel::mmdit) return rates.mmdit_lr.value_or(common);
  const auto& given = rates.text_encoder_lr;
  if (given.empty()) return common;
  return given[std::min(static_cast<size_t>(model), given.size() - 1)];
}

}  // namespace loraptor::network
