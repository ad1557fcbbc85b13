// Cases beside the golden ones, with numbers that the optimizers' own packages gave in Python (float32, CPU) for the
// parameters and gradients of OptimizerCase: dadaptation 3.2, prodigy-plus-schedule-free 1.9.2, PyTorch 2.11.
#include <gtest/gtest.h>

#include "optimizer_case.h"

namespace loraptor {
namespace {

using nlohmann::json;

json one_group_each(const std::vector<std::string>& names, std::vector<std::string> args) {
  json groups = json::array();
  for (const auto& name : names) groups.push_back({name});
  args.insert(args.begin(), "--optimizer_type");
  return {{"groups", groups}, {"gradient", "drift"}, {"args", args}};
}

void expect_near(const std::string& what, double got, double want, double relative) {
  EXPECT_NEAR(got, want, relative * std::abs(want)) << what;
}

struct RatesOfZero {
  std::string type;
  bool decoupled;           // weight decay 0.1, decoupled
  bool is_warm_up;          // else the second group's rate is zero in all steps
  std::vector<double> d;    // after each step
  double trained0, other0;  // first elements of a [6,4] and c [5] after the last step
  double tolerance = 1e-5;
};

/// Five steps whose learning rates are zero, zero, a half, one, one; or always one and zero.
void expect_package_numbers(const RatesOfZero& want) {
  std::vector<std::string> args{want.type, "--learning_rate", "1", "--optimizer_args", "d0=1e-3"};
  if (want.decoupled) args.insert(args.end(), {"weight_decay=0.1", "decouple=True"});
  test::OptimizerCase run({{"shapes", {{"a", {6, 4}}, {"c", {5}}}}}, one_group_each({"a", "c"}, args));
  const auto optimizer = optim::create_optimizer(run.config(), run.groups());
  const std::vector<double> warm_up{0, 0, 0.5, 1, 1};
  const std::string what = want.type + (want.decoupled ? " decoupled" : "") + (want.is_warm_up ? " warm-up" : " split");
  for (int t = 1; t <= 5; ++t) {
    const double rate = warm_up[static_cast<size_t>(t - 1)];
    run.set_gradients(t);
    optimizer->step(want.is_warm_up ? std::vector<double>{rate, rate} : std::vector<double>{1, 0});
    expect_near(what + ": d after step " + std::to_string(t), optimizer->statistics().at("d")[0],
                want.d[static_cast<size_t>(t - 1)], want.tolerance);
  }
  expect_near(what + ": a[0]", run.values().at("a")[0][0].item<double>(), want.trained0, want.tolerance);
  expect_near(what + ": c[0]", run.values().at("c")[0].item<double>(), want.other0, want.tolerance);
}

TEST(DAdaptation, StepsAndGroupsOfRateZeroEqualThePackage) {
  const std::vector<double> adam_warm{0.001, 0.001, 0.001, 0.004306842, 0.01620223};
  const std::vector<double> adam_split{0.001, 0.01729002, 0.02723769, 0.104669, 0.3503606};
  const std::vector<double> preprint_warm{0.001, 0.001, 0.001, 0.007372888, 0.02712779};
  const std::vector<double> preprint_split{0.001, 0.01095061, 0.03451172, 0.1891133, 0.5786029};
  const std::vector<double> sgd_split{0.001, 0.001018493, 0.002233907, 0.00315644, 0.005441524};
  // "DAdaptation" is DAdaptAdamPreprint. A group of rate zero decays in DAdaptAdam, rests in DAdaptAdamPreprint.
  for (const auto& want :
       std::vector<RatesOfZero>{{"DAdaptAdam", false, true, adam_warm, 0.3988987, -0.4158598},
                                {"DAdaptAdam", false, false, adam_split, 0.1828865, -0.4347008},
                                {"DAdaptAdam", true, true, adam_warm, 0.3986628, -0.4156097},
                                {"DAdaptAdam", true, false, adam_split, 0.1778116, -0.4281518},
                                {"DAdaptation", false, true, preprint_warm, 0.3949613, -0.4064575},
                                {"DAdaptAdamPreprint", false, true, preprint_warm, 0.3949613, -0.4064575},
                                {"DAdaptAdamPreprint", false, false, preprint_split, 0.1385461, -0.4347008, 3e-4},
                                {"DAdaptAdamPreprint", true, true, preprint_warm, 0.3946011, -0.4060757},
                                {"DAdaptAdamPreprint", true, false, preprint_split, 0.1302242, -0.4347008, 3e-4},
                                {"DAdaptSGD", false, false, sgd_split, 0.4067982, -0.4347008}}) {
    expect_package_numbers(want);
  }
}

/// A parameter alone, four steps with d0=1e-2: elements 1, n/2 and n-2 of n, and d.
struct FactoredShape {
  std::vector<int64_t> shape;
  std::vector<double> elements;
  double d;
};

/// Which axis the row means are normalized over depends on where the two longest axes lie.
TEST(ProdigyPlus, FactoredMomentsOfEveryOrderOfAxesEqualThePackage) {
  const std::map<std::string, FactoredShape> cases{
      {"wide", {{3, 40}, {0.13461466, -0.85610378, -0.7858606}, 0.1407092}},
      {"tall", {{40, 3}, {0.71935439, 0.27634653, 0.072109625}, 0.09180749}},
      {"square", {{36, 36}, {-0.17652637, 0.29865018, -0.3799637}, 0.1263046}},
      {"conv_tall", {{48, 4, 3, 3}, {-0.82137823, -0.23607616, -0.045393627}, 0.1261141}},
      {"conv_wide", {{4, 48, 3, 3}, {0.46678784, -0.060006332, 0.19789685}, 0.1202346}},
      {"conv_mixed", {{33, 2, 3, 3}, {0.43834251, -0.51194018, -0.05283799}, 0.1095758}},
      {"end", {{4, 3, 40}, {0.33223769, 0.30958921, -0.20013416}, 0.11639}},
      {"middle", {{3, 40, 4}, {-0.57086331, 0.5666253, 0.36667395}, 0.1167588}},
      {"front", {{40, 2, 4}, {-0.073195562, 0.54737693, 0.21275695}, 0.1099272}}};
  for (const auto& [name, want] : cases) {
    test::OptimizerCase run({{"shapes", {{name, want.shape}}}},
                            one_group_each({name}, {"prodigyplus.ProdigyPlusScheduleFree", "--learning_rate", "1",
                                                    "--optimizer_args", "d0=1e-2"}));
    const auto optimizer = optim::create_optimizer(run.config(), run.groups());
    for (int t = 1; t <= 4; ++t) {
      run.set_gradients(t);
      optimizer->step({1});
    }
    const auto values = run.values().at(name).detach().reshape({-1});
    const int64_t n = values.numel();
    const std::vector<int64_t> places{1, n / 2, n - 2};
    for (size_t i = 0; i < places.size(); ++i) {
      EXPECT_NEAR(values[places[i]].item<double>(), want.elements[i], 1e-5) << name << " element " << places[i];
    }
    expect_near(name + ": d", optimizer->statistics().at("d")[0], want.d, 1e-4);
  }
}

}  // namespace
}  // namespace loraptor
