// A LoRA merged into an MMDiT against the reference's merged weights and velocity.
#include "network/network_merge.h"

#include <gtest/gtest.h>

#include "golden_lora.h"
#include "network/lora_file.h"
#include "network/lora_network.h"
#include "support/temp_folder.h"

namespace loraptor::network {
namespace {

using test::GoldenFile;

std::map<std::string, at::Tensor> weights_of(const std::vector<TargetLinear>& targets) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& target : targets) weights[target.path + ".weight"] = target.layer->weight().read().clone();
  return weights;
}

/// Compares whole weights, rows of weights and the size of every change.
void check_weights(GoldenFile& file, const std::map<std::string, at::Tensor>& before,
                   const std::map<std::string, at::Tensor>& after) {
  const double limit = test::tolerance("merged");
  for (const auto& name : file.names_starting("merged.")) {
    const auto& want = file[name];
    file.expect_close(name, after.at(name.substr(std::string("merged.").size())).view(want.sizes()), want, limit);
  }
  const auto rows = file.metadata("rows");
  for (const auto& name : file.names_starting("merged_rows.")) {
    const std::string weight = name.substr(std::string("merged_rows.").size());
    const auto index = at::tensor(rows.at(weight).get<std::vector<int64_t>>());
    file.expect_close(name, after.at(weight).index_select(0, index), limit);
  }
  std::vector<std::string> changed;
  std::vector<double> norms;
  for (const auto& [name, weight] : after) {
    const double norm = (weight - before.at(name)).norm().item<double>();
    if (norm > 0) changed.push_back(name), norms.push_back(norm);
  }
  EXPECT_EQ(changed, file.metadata("changed_keys").get<std::vector<std::string>>());
  const auto want = file["delta_norms"].to(at::kDouble);
  ASSERT_EQ(static_cast<int64_t>(norms.size()), want.numel());
  file.expect_close("delta_norms", at::tensor(norms, at::kDouble) / want, at::ones_like(want),
                    test::tolerance("gradient_statistics_rel"));
}

void check_merge(const std::filesystem::path& path) {
  GoldenFile file(path);
  const std::string model = path.stem().string().substr(std::string("merge_").size());
  const auto args = file.metadata("lora");
  const test::TempFolder folder;
  const auto lora = folder / "lora.safetensors";
  {
    models::MMDiT mmdit(test::golden_part(model, models::Part::mmdit), {});
    std::vector<TargetLinear> targets;
    test::append_targets(targets, TargetModel::mmdit, mmdit);
    const auto network = create_network(test::golden_network_config(args), targets, {});
    test::fill_golden_values(*network, model);
    write_lora_file(lora, network->state(at::kFloat), {});
  }
  models::MMDiT mmdit(test::golden_part(model, models::Part::mmdit), {});
  std::vector<TargetLinear> targets;
  test::append_targets(targets, TargetModel::mmdit, mmdit);
  const auto before = weights_of(targets);
  merge_lora_file(lora, args.at("multiplier").get<double>(), targets);
  check_weights(file, before, weights_of(targets));
  const at::NoGradGuard no_grad;
  memory::PlainRunner runner;
  file.expect_close("a.velocity", mmdit.forward(test::golden_mmdit_input(model), runner), test::tolerance("mmdit"));
}

TEST(GoldenMerge, merged_weights_and_velocity_equal_the_reference) {
  const auto paths = test::golden_files("models", "merge_", ".safetensors");
  if (paths.empty()) GTEST_SKIP() << "no merge_*.safetensors in " << test::golden_folder();
  for (const auto& path : paths) check_merge(path);
}

}  // namespace
}  // namespace loraptor::network
