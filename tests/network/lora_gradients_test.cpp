// Loss and LoRA gradients of whole models against the reference's.
#include <gtest/gtest.h>

#include <set>

#include "golden_lora.h"
#include "models/conditioning.h"
#include "network/lora_network.h"

namespace loraptor::network {
namespace {

using models::Part;
using test::GoldenFile;

/// Names of the cases in a file: those with a loss.
std::vector<std::string> cases_of(const GoldenFile& file) {
  std::vector<std::string> cases;
  for (const auto& name : file.names()) {
    if (name.ends_with(".loss")) cases.push_back(name.substr(0, name.find('.')));
  }
  return cases;
}

/// Norm, sum and first values of one gradient against a row of the statistics.
void check_statistics(GoldenFile& file, const std::string& key, const at::Tensor& gradient, const at::Tensor& want) {
  const auto flat = gradient.to(at::kDouble).reshape({-1});
  const int64_t listed = want.size(0) - 2, first = std::min(listed, flat.numel());
  const double limit = test::tolerance("gradient_statistics_rel"), norm = want[0].item<double>();
  const double unit = norm > 0 ? norm : 1;  // the last block makes no queries of text tokens
  const double sum_unit = unit * std::sqrt(static_cast<double>(flat.numel()));
  file.expect_close(key + " norm", flat.norm() / unit, want[0] / unit, limit);
  file.expect_close(key + " sum", flat.sum() / sum_unit, want[1] / sum_unit, limit);
  file.expect_close(key + " first values", flat.narrow(0, 0, first) / unit, want.narrow(0, 2, first) / unit, limit);
}

/// Compares everything a case records with the gradients now in the network.
void check_gradients(GoldenFile& file, const std::string& name, const Network& network) {
  std::map<std::string, at::Tensor> gradients;
  for (const auto& parameter : network.parameters()) gradients[parameter.name] = parameter.value.grad();
  const auto keys = file.metadata(name + ".keys").get<std::vector<std::string>>();
  const auto shapes = file.metadata(name + ".shapes");
  ASSERT_EQ(gradients.size(), keys.size()) << name;
  for (size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(gradients.count(keys[i]), 1u) << keys[i];
    const auto& gradient = gradients[keys[i]];
    EXPECT_EQ(gradient.sizes(), shapes[i].get<std::vector<int64_t>>()) << keys[i];
    const auto row = static_cast<int64_t>(i);
    check_statistics(file, name + " " + keys[i], gradient, file[name + ".stats"][row].to(at::kDouble));
  }
  const std::string prefix = name + ".grad.";
  for (const auto& tensor : file.names_starting(prefix)) {
    file.expect_relative(tensor, gradients.at(tensor.substr(prefix.size())), file[tensor],
                         test::tolerance("lora_gradient_rel_l2"));
  }
}

/// Runs the model on `input`, and the backward pass of mean(velocity * probe).
void check_loss(GoldenFile& file, const std::string& name, const models::MMDiT& mmdit,
                const models::MMDiTInput& input) {
  memory::PlainRunner runner;
  const auto velocity = mmdit.forward(input, runner);
  const auto loss = (velocity * file["probe"]).mean();
  if (file.has(name + ".velocity")) file.expect_close(name + ".velocity", velocity, test::tolerance("mmdit"));
  file.expect_close(name + ".loss", loss.reshape({1}), test::tolerance("loss"));
  loss.backward();
}

/// The names that are saved, and the merged form of a split pair.
void check_saved(GoldenFile& file, const std::string& name, const Network& network) {
  std::map<std::string, at::Tensor> state;
  std::set<std::string> names;
  for (const auto& [key, tensor] : network.state(at::kFloat)) {
    state[key] = tensor;
    names.insert(key);
  }
  const auto want = file.metadata(name + ".saved_keys");
  if (!want.is_null()) {
    const auto list = want.get<std::vector<std::string>>();
    EXPECT_EQ(names, std::set<std::string>(list.begin(), list.end()));
  }
  for (const std::string half : {"lora_down", "lora_up"}) {
    const std::string recorded = name + ".saved." + half;
    if (!file.has(recorded)) continue;
    file.expect_close(recorded, state.at("lora_unet_joint_blocks_0_x_block_attn_qkv." + half + ".weight"), 0);
  }
}

void check_mmdit_case(GoldenFile& file, const std::string& model, const std::string& name) {
  SCOPED_TRACE(file.path().filename().string() + " " + name);
  models::MMDiT mmdit(test::golden_part(model, Part::mmdit), {});
  std::vector<TargetLinear> targets;
  test::append_targets(targets, TargetModel::mmdit, mmdit);
  const auto network = create_network(test::golden_network_config(file.metadata(name + ".args")), targets, {});
  test::fill_golden_values(*network, model);
  check_loss(file, name, mmdit, test::golden_mmdit_input(model));
  check_gradients(file, name, *network);
  check_saved(file, name, *network);
}

std::string model_of(const std::filesystem::path& path, std::string_view prefix) {
  const std::string stem = path.stem();
  return stem.substr(prefix.size());
}

constexpr std::string_view kPrefix = "lora_grads_", kEncoderPrefix = "lora_grads_te_";

TEST(GoldenLoraGradients, mmdit_adapters_get_the_gradients_of_the_reference) {
  bool found = false;
  for (const auto& path : test::golden_files("models", std::string(kPrefix), ".safetensors")) {
    if (path.filename().string().starts_with(kEncoderPrefix)) continue;
    GoldenFile file(path);
    for (const auto& name : cases_of(file)) check_mmdit_case(file, model_of(path, kPrefix), name);
    found = true;
  }
  if (!found) GTEST_SKIP() << "no lora_grads_*.safetensors in " << test::golden_folder();
}

models::Conditioning encode(const test::GoldenModels& models, const GoldenFile& file, const std::string& name) {
  const auto ids = [&](const char* which) { return file[name + ".tokens." + which + "_ids"].to(at::kLong); };
  const auto l = models.clip_l.forward(ids("l"), std::nullopt), g = models.clip_g.forward(ids("g"), std::nullopt);
  return models::assemble_conditioning({at::cat({l.hidden, g.hidden}, -1), models.t5.forward(ids("t5"), std::nullopt),
                                        at::cat({l.pooled, g.pooled}, -1)});
}

/// Conditioning and its gradient, whole or at the stored positions.
void check_conditioning(GoldenFile& file, const std::string& name, const models::Conditioning& text) {
  const auto rows = at::tensor(std::vector<int64_t>{0, 1, 5, 76, 77, 80, 108});
  const double limit = test::tolerance("lora_gradient_rel_l2");
  const auto compare = [&](const std::string& stored, const at::Tensor& value, const std::string& tolerance) {
    if (file.has(name + "." + stored)) file.expect_close(name + "." + stored, value, test::tolerance(tolerance));
  };
  const auto compare_gradient = [&](const std::string& stored, const at::Tensor& value) {
    const std::string tensor = name + "." + stored;
    if (file.has(tensor)) file.expect_relative(tensor, value, file[tensor], limit);
  };
  compare("context", text.context, "context");
  compare("context_rows", text.context.index_select(1, rows), "context");
  compare("y", text.pooled, "pooled");
  compare_gradient("grad_context", text.context.grad());
  compare_gradient("grad_context_rows", text.context.grad().index_select(1, rows));
  compare_gradient("grad_y", text.pooled.grad());
}

void check_encoder_case(GoldenFile& file, const std::string& model, const std::string& name) {
  SCOPED_TRACE(file.path().filename().string() + " " + name);
  test::GoldenModels models(model);
  const auto network = create_network(test::golden_network_config(file.metadata(name + ".args")), models.targets(), {});
  test::fill_golden_values(*network, model);
  auto input = test::golden_mmdit_input(model);
  const auto text = encode(models, file, name);
  text.context.retain_grad();
  text.pooled.retain_grad();
  input.context = text.context;
  input.pooled = text.pooled;
  check_loss(file, name, models.mmdit, input);
  check_conditioning(file, name, text);
  check_gradients(file, name, *network);
}

TEST(GoldenLoraGradients, encoder_adapters_get_the_gradients_of_the_reference) {
  const auto paths = test::golden_files("models", std::string(kEncoderPrefix), ".safetensors");
  if (paths.empty()) GTEST_SKIP() << "no lora_grads_te_*.safetensors in " << test::golden_folder();
  for (const auto& path : paths) {
    GoldenFile file(path);
    for (const auto& name : cases_of(file)) check_encoder_case(file, model_of(path, kEncoderPrefix), name);
  }
}

}  // namespace
}  // namespace loraptor::network
