// Times one optimizer step over 800 LoRA tensors of SD3.5 Medium's shapes.
//
//   bench_optimizer_step [--optimizer AdamW|AdamW8bit] [--steps N]        last line: optimizer_step NAME SECONDS
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "optim/optimizer.h"

namespace loraptor {
namespace {

constexpr int kPairs = 400;
constexpr int64_t kRank = 16;
constexpr std::pair<int64_t, int64_t> kLayers[] = {
    {1536, 4608}, {1536, 1536}, {1536, 6144}, {6144, 1536}, {1536, 9216}};

/// One group, all lora_down before all lora_up, as the network lays them out.
std::vector<optim::ParamGroup> make_groups() {
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes;
  for (const bool up : {false, true}) {
    for (int i = 0; i < kPairs; ++i) {
      const auto [in, out] = kLayers[i % std::size(kLayers)];
      const std::string name = std::to_string(i) + (up ? ".up" : ".down");
      shapes.emplace_back(name, up ? std::vector<int64_t>{out, kRank} : std::vector<int64_t>{kRank, in});
    }
  }
  int64_t elements = 0;
  for (const auto& [name, shape] : shapes) elements += shape[0] * shape[1];
  const optim::FlatBuffer buffer(elements, at::kFloat);
  optim::ParamGroup group{"unet", 1e-4, buffer.values(), buffer.gradients(), {}};
  int64_t offset = 0;
  for (const auto& [name, shape] : shapes) {
    group.parameters.push_back({name, buffer.leaf(offset, shape)});
    offset += shape[0] * shape[1];
  }
  const at::NoGradGuard no_grad;
  group.flat.normal_(0, 0.02);
  group.flat_grad.normal_(0, 1e-3);
  return {group};
}

void run(const std::string& type, int steps) {
  auto groups = make_groups();
  optim::OptimizerConfig config;
  config.optimizer_type = type;
  const auto optimizer = optim::create_optimizer(config, groups);
  std::vector<double> seconds;
  for (int i = -3; i < steps; ++i) {  // three to warm up
    const Stopwatch watch;
    optimizer->step({1e-4});
    if (i >= 0) seconds.push_back(watch.seconds());
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("%lld numbers in %zu tensors\n", static_cast<long long>(groups[0].flat.numel()),
              groups[0].parameters.size());
  std::printf("optimizer_step %s %.5f\n", type.c_str(), seconds[seconds.size() / 2]);
}

}  // namespace
}  // namespace loraptor

int main(int argc, char** argv) {
  std::string type = "AdamW";
  int steps = 20;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (argv[i] == std::string("--optimizer")) type = argv[i + 1];
    if (argv[i] == std::string("--steps")) steps = std::max(1, std::atoi(argv[i + 1]));
  }
  loraptor::run(type, steps);
  return 0;
}
