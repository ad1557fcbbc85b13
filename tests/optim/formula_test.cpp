// CAME, StableAdamW and Muon against their papers' formulas, written out in float64.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "optim/muon.h"
#include "small_parameters.h"

namespace loraptor {
namespace {

using test::small_optimizer;
using test::SmallParameters;
using States = std::map<std::string, at::Tensor>;

at::Tensor& state(States& states, const std::string& name, at::IntArrayRef shape) {
  auto& found = states[name];
  if (!found.defined()) found = at::zeros(shape, at::kDouble);
  return found;
}

double root_mean_square(const at::Tensor& x) { return x.square().mean().sqrt().item<double>(); }

/// Moves the factored moment `name` towards `square` and returns 1 / sqrt of the outer product of its means.
at::Tensor factored_root(States& states, const std::string& name, const at::Tensor& square, double keep) {
  const auto row_mean = square.mean(-1), column_mean = square.mean(-2);
  auto& r = state(states, name + "/r", row_mean.sizes());
  auto& c = state(states, name + "/c", column_mean.sizes());
  r = keep * r + (1 - keep) * row_mean;
  c = keep * c + (1 - keep) * column_mean;
  const auto moment = r.unsqueeze(-1) * c.unsqueeze(-2) / r.mean(-1, true).unsqueeze(-1);
  return 1 / moment.sqrt();
}

TEST(Came, EqualsAlgorithm2) {
  SmallParameters parameters;
  const auto optimizer = small_optimizer(parameters, "came", {"weight_decay=0.1", "clip_threshold=0.8"});
  States states;
  const double lr = 1e-2;
  parameters.expect_formula(*optimizer, 6, lr, [&](const std::string& name, at::Tensor& p, const at::Tensor& g, int) {
    at::Tensor update;
    if (g.dim() == 1) {
      auto& v = state(states, name + "/v", g.sizes());
      v = 0.999 * v + 0.001 * (g * g + 1e-30);
      update = g / v.sqrt();
    } else {
      update = g * factored_root(states, name, g * g + 1e-30, 0.999);
    }
    update = update / std::max(1.0, root_mean_square(update) / 0.8);
    auto& m = state(states, name + "/m", g.sizes());
    m = 0.9 * m + 0.1 * update;
    at::Tensor step = m;
    if (g.dim() > 1) step = m * factored_root(states, name + "/res", (update - m).square() + 1e-16, 0.9999);
    p = p - lr * 0.1 * p - lr * step;
  });
}

TEST(Momentum, CanBeReplacedBetweenSteps) {
  const std::pair<const char*, std::vector<std::string>> same[] = {
      {"AdamW", {"betas=0.7,0.999"}},
      {"torch.optim.Adam", {"betas=0.7,0.999"}},
      {"AdamW8bit", {"betas=0.7,0.999", "min_8bit_size=100"}},
      {"PagedAdamW", {"betas=0.7,0.999"}},
      {"bitsandbytes.optim.AdEMAMix", {"betas=0.7,0.999,0.9999"}},
      {"Lion", {"betas=0.7,0.99"}},
      {"Lion8bit", {"betas=0.7,0.99", "min_8bit_size=100"}},
      {"SGDNesterov", {"momentum=0.7"}},
      {"SGDNesterov8bit", {"momentum=0.7", "min_8bit_size=100"}},
      {"torch.optim.RAdam", {"betas=0.7,0.999"}},
      {"torch.optim.Adamax", {"betas=0.7,0.999"}},
  };
  for (const auto& [type, args] : same) {
    SmallParameters made_with_it, replaced, never;
    const auto want = small_optimizer(made_with_it, type, args);
    const std::vector<std::string> others(args.begin() + 1, args.end());
    const auto optimizer = small_optimizer(replaced, type, others);
    const auto own = small_optimizer(never, type, others);
    EXPECT_TRUE(optimizer->set_momentum(0.7)) << type;
    made_with_it.step(*want, 1, 8, 1e-2);
    replaced.step(*optimizer, 1, 8, 1e-2);
    never.step(*own, 1, 8, 1e-2);
    EXPECT_TRUE(at::equal(replaced.values(), made_with_it.values())) << type;
    EXPECT_FALSE(at::equal(replaced.values(), never.values())) << type;
  }
  for (const char* type : {"torch.optim.Adagrad", "torch.optim.NAdam", "prodigy", "torch.optim.SGD"}) {
    SmallParameters parameters;
    EXPECT_FALSE(small_optimizer(parameters, type)->set_momentum(0.7)) << type;
  }
  SmallParameters halves(at::kBFloat16);
  EXPECT_TRUE(small_optimizer(halves, "AdamW")->set_momentum(0.7));
}

TEST(StableAdamW, EqualsAlgorithm2) {
  SmallParameters parameters;
  const auto optimizer = small_optimizer(parameters, "stableadamw", {"betas=(0.9,0.99)", "weight_decay=0.05"});
  States states;
  bool was_clipped = false;
  parameters.expect_formula(
      *optimizer, 8, 1e-2, [&](const std::string& name, at::Tensor& p, const at::Tensor& g, int t) {
        const auto hat = [t](double beta) { return beta * (1 - std::pow(beta, t - 1)) / (1 - std::pow(beta, t)); };
        auto& m = state(states, name + "/m", g.sizes());
        auto& v = state(states, name + "/v", g.sizes());
        m = hat(0.9) * m + (1 - hat(0.9)) * g;
        v = hat(0.99) * v + (1 - hat(0.99)) * g * g;
        const double clip = root_mean_square(g / v.clamp_min(1e-16).sqrt());
        was_clipped |= clip > 1.001;
        const double rate = 1e-2 / std::max(1.0, clip);
        p = p - rate * 0.05 * p - rate * m / (v.sqrt() + 1e-8);
      });
  EXPECT_TRUE(was_clipped);
}

/// The quintic iteration acts on singular values alone: s -> a s + b s^3 + c s^5.
at::Tensor orthogonal_by_svd(const at::Tensor& x) {
  const auto [u, s, v] = at::linalg_svd(x / x.norm(), /*full_matrices=*/false);
  auto values = s;
  for (int i = 0; i < 5; ++i) values = 3.4445 * values - 4.7750 * values.pow(3) + 2.0315 * values.pow(5);
  return u.mm(at::diag(values)).mm(v);
}

void expect_muon(const std::vector<std::string>& args, bool match_rms) {
  SmallParameters parameters;
  const auto optimizer = small_optimizer(parameters, "Muon", args);
  States states;
  const double lr = 1e-2;
  parameters.expect_formula(*optimizer, 5, lr, [&](const std::string& name, at::Tensor& p, const at::Tensor& g, int t) {
    auto& m = state(states, name + "/m", g.sizes());
    p = p * (1 - lr * 0.1);
    if (g.dim() == 1) {
      auto& v = state(states, name + "/v", g.sizes());
      m = 0.9 * m + 0.1 * g;
      v = 0.95 * v + 0.05 * g * g;
      const auto root = (v / (1 - std::pow(0.95, t))).sqrt() + 1e-10;
      p = p - lr * m / (1 - std::pow(0.9, t)) / root;
      return;
    }
    m = 0.95 * m + 0.05 * g;
    const auto direction = orthogonal_by_svd((0.05 * g + 0.95 * m).flatten(1)).view(g.sizes());
    const double rows = static_cast<double>(g.size(0)), columns = static_cast<double>(g.numel()) / rows;
    const double factor =
        match_rms ? 0.2 * std::sqrt(std::max(rows, columns)) : std::sqrt(std::max(1.0, rows / columns));
    p = p - lr * factor * direction;
  });
}

TEST(Muon, EqualsTheIterationOnSingularValues) { expect_muon({}, false); }
TEST(Muon, MatchesTheRmsOfAdamWOnRequest) { expect_muon({"adjust_lr_fn='match_rms_adamw'"}, true); }

TEST(Muon, SingularValuesComeNearOne) {
  const auto x = test::unit_values("muon", 6 * 20).view({6, 20}).to(at::kFloat);
  const auto s = std::get<1>(at::linalg_svd(optim::orthogonalized(x, {3.4445, -4.7750, 2.0315}, 5, 1e-7), false));
  EXPECT_GT(s.min().item<double>(), 0.6);
  EXPECT_LT(s.max().item<double>(), 1.3);
}

TEST(Muon, AnUnknownRateRuleIsRefused) {
  SmallParameters parameters;
  EXPECT_THROW(small_optimizer(parameters, "Muon", {"adjust_lr_fn='other'"}), UsageError);
}

TEST(Optimizers, DottedPathsOfTheirPackagesAreKnown) {
  SmallParameters parameters;
  EXPECT_EQ(small_optimizer(parameters, "pytorch_optimizer.CAME")->description(),
            "pytorch_optimizer.optimizer.came.CAME");
  EXPECT_EQ(small_optimizer(parameters, "torch.optim.Muon", {"momentum=0.9"})->description(),
            "torch.optim.Muon(momentum=0.9)");
}

/// Type and dtype of the parameters.
class ContinuedOptimizer : public ::testing::TestWithParam<std::pair<std::string, at::ScalarType>> {};

/// Eight steps at once, and five + saved state + three of a fresh optimizer, bit for bit: every optimizer of the list.
TEST_P(ContinuedOptimizer, EqualsTheUninterruptedRun) {
  const auto& [type, dtype] = GetParam();
  const double lr = type.starts_with("DAdapt") || type.find("rodigy") != std::string::npos ? 1.0 : 1e-3;
  SmallParameters whole(dtype), first(dtype), second(dtype);
  const auto one = small_optimizer(whole, type, {}, 7), before = small_optimizer(first, type, {}, 7);
  whole.step(*one, 1, 8, lr);
  first.step(*before, 1, 5, lr);
  const auto after = small_optimizer(second, type, {}, 7);
  {
    const at::NoGradGuard no_grad;
    second.groups()[0].flat.copy_(first.values());
  }
  after->load_state_dict(before->state_dict());
  second.step(*after, 6, 8, lr);
  EXPECT_TRUE(at::equal(second.values(), whole.values()));
  EXPECT_FALSE(at::equal(whole.values(), SmallParameters(dtype).values())) << "nothing moved";
}

std::vector<std::pair<std::string, at::ScalarType>> every_optimizer() {
  std::vector<std::pair<std::string, at::ScalarType>> all;
  for (const auto& name : optim::optimizer_names()) all.emplace_back(name, at::kFloat);
  for (const char* name : {"AdamW", "AdamW8bit", "CAME", "AdamWScheduleFree", "Prodigy"}) {
    all.emplace_back(name, at::kBFloat16);
    all.emplace_back(name, at::kHalf);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Every, ContinuedOptimizer, ::testing::ValuesIn(every_optimizer()), [](const auto& info) {
  std::string name = info.param.first + "_" + at::toString(info.param.second);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST(OptimizerArguments, ThoseThatCannotActAreRefused) {
  SmallParameters parameters;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"AdamW8bit", "amsgrad=True"},           {"AdamW8bit", "block_wise=False"}, {"SGDNesterov8bit", "dampening=0.5"},
      {"SGDNesterov", "dampening=0.5"},        {"SGDNesterov", "momentum=0"},     {"SGDScheduleFree", "momentum=0"},
      {"AdamWScheduleFree", "betas=(0,0.999)"}};
  for (const auto& [type, argument] : cases) {
    EXPECT_THROW(small_optimizer(parameters, type, {argument}), UsageError) << type << " " << argument;
  }
}

}  // namespace
}  // namespace loraptor
