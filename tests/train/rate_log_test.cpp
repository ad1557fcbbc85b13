// Learning rates in the logs, as the optimizer sees them.
#include "train/rate_log.h"

#include <gtest/gtest.h>

namespace loraptor::train {
namespace {

class Talking : public optim::Optimizer {
 public:
  explicit Talking(std::map<std::string, std::vector<double>> words) : words_(std::move(words)) {}
  void step(const std::vector<double>&) override {}
  std::map<std::string, at::Tensor> state_dict() const override { return {}; }
  void load_state_dict(const std::map<std::string, at::Tensor>&) override {}
  std::map<std::string, std::vector<double>> statistics() const override { return words_; }
  std::string description() const override { return ""; }

 private:
  std::map<std::string, std::vector<double>> words_;
};

report::StepRecord recorded(const std::map<std::string, std::vector<double>>& statistics) {
  std::vector<optim::ParamGroup> groups(2);
  groups[0].name = "textencoder 1";
  groups[1].name = "unet plus";
  report::StepRecord record;
  record_rates(Talking(statistics), groups, {0.5, 1.0}, record);
  return record;
}

TEST(RateLog, RatesOfTheScheduleAreTheRule) {
  const auto record = recorded({});
  EXPECT_EQ(record.lrs, (report::NamedNumbers{{"textencoder 1", 0.5}, {"unet plus", 1.0}}));
  EXPECT_TRUE(record.extras.empty());
}

TEST(RateLog, AnEstimatedStepSizeIsMultipliedIn) {
  const auto record = recorded({{"d", {1e-4, 2e-4}}, {"k", {3, 3}}});
  EXPECT_EQ(record.extras, (report::NamedNumbers{{"lr/d*lr/textencoder1", 0.5e-4}, {"lr/d*lr/unet_plus", 2e-4}}));
}

TEST(RateLog, ARateTheOptimizerChoseIsShownInPlaceOfTheSchedule) {
  EXPECT_EQ(recorded({{"lr", {1e-3, 2e-3}}}).lrs, (report::NamedNumbers{{"textencoder 1", 1e-3}, {"unet plus", 2e-3}}));
}

}  // namespace
}  // namespace loraptor::train
