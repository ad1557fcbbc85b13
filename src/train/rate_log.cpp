#include "train/rate_log.h"

#include "report/tensorboard.h"

namespace loraptor::train {

void record_rates(const optim::Optimizer& optimizer, const std::vector<optim::ParamGroup>& groups,
                  const std::vector<double>& rates, report::StepRecord& record) {
  const auto statistics = optimizer.statistics();
  const auto own = statistics.find("lr");
  const auto d = statistics.find("d");
  for (size_t g = 0; g < groups.size(); ++g) {
    const double rate = own == statistics.end() ? rates[g] : own->second[g];
    record.lrs.emplace_back(groups[g].name, rate);
    if (d == statistics.end()) continue;
    const std::string tag = report::learning_rate_tag(groups[g].name);  // "lr/unet"
    record.extras.emplace_back("lr/d*" + tag, d->second[g] * rate);
  }
}

}  // namespace loraptor::train
