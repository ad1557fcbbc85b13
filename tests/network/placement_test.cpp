// Models and networks that lie on another device: nothing of a step may stay behind on the CPU.
#include <gtest/gtest.h>

#include "golden_lora.h"
#include "models/conditioning.h"
#include "models/vae.h"
#include "network/network.h"
#include "support/elsewhere.h"

namespace loraptor::network {
namespace {

using models::Part;

NetworkConfig network_of(const std::string& module, const std::vector<std::string>& args) {
  NetworkConfig config;
  config.network_module = module;
  config.network_args = args;
  config.network_dropout = 0.1;
  return config;
}

models::Conditioning encode(const test::GoldenModels& models) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(test::kElsewhere);
  const auto ids = at::ones({2, 77}, options), mask = at::ones({2, 77}, options);
  const auto l = models.clip_l.forward(ids, mask), g = models.clip_g.forward(ids, std::nullopt);
  return models::assemble_conditioning(
      {at::cat({l.hidden, g.hidden}, -1), models.t5.forward(ids, mask), at::cat({l.pooled, g.pooled}, -1)});
}

/// Forward and backward of all models with the network.
void expect_step(const std::string& model, at::ScalarType dtype, const NetworkConfig& config,
                 memory::BlockRunner& runner) {
  const test::MixWatch watch;
  test::GoldenModels models(model, {dtype, test::kElsewhere});
  const auto network = create_network(config, models.targets(), {.device = test::kElsewhere});
  network->begin_micro_step(1);
  const auto text = encode(models);
  const auto velocity = models.mmdit.forward(
      {test::there(at::zeros({2, 16, 8, 12})), test::there(at::zeros({2})), text.context, text.pooled, std::nullopt},
      runner);
  EXPECT_EQ(velocity.device().type(), test::kElsewhere.type());
  velocity.square().mean().backward();
  EXPECT_EQ(network->flat_gradients().device().type(), test::kElsewhere.type());
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>());
}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  const std::string prefix = "mmdit_";
  for (const auto& path : test::golden_files("models", prefix, ".safetensors")) {
    const std::string name = path.stem().string().substr(prefix.size());
    if (!name.ends_with("_attn2compat")) names.push_back(name);
  }
  return names;
}

TEST(Placement, operators_that_mix_devices_are_noticed) {
  const test::MixWatch watch;
  const auto here = at::ones({2, 2});
  test::there(here).copy_(here);
  test::there(here).mul(at::scalar_tensor(2));
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>());
  here.mm(test::there(here));
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>{"aten::mm"});
}

TEST(Placement, images_are_encoded_and_decoded_on_the_device_of_the_vae) {
  if (golden_models().empty()) GTEST_SKIP() << "no mmdit_*.safetensors in " << test::golden_folder();
  const test::MixWatch watch;
  for (const auto& model : golden_models()) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const models::Vae vae(test::golden_part(model, Part::vae, {dtype, test::kElsewhere}));
      EXPECT_EQ(vae.encode(test::there(at::zeros({1, 3, 64, 64}))).device().type(), test::kElsewhere.type());
      EXPECT_EQ(vae.decode(test::there(at::zeros({1, 16, 8, 8}))).device().type(), test::kElsewhere.type());
    }
  }
  EXPECT_EQ(test::MixWatch::found(), std::set<std::string>());
}

TEST(Placement, a_step_of_every_model_stays_on_its_device) {
  if (golden_models().empty()) GTEST_SKIP() << "no mmdit_*.safetensors in " << test::golden_folder();
  for (const auto& model : golden_models()) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      SCOPED_TRACE(model + " " + at::toString(dtype));
      memory::PlainRunner plain;
      memory::CheckpointRunner checkpoints;
      expect_step(model, dtype, network_of("networks.lora_sd3", {}), plain);
      expect_step(model, dtype, network_of("networks.lora_sd3", {}), checkpoints);
    }
  }
}

TEST(Placement, a_step_with_every_kind_of_network_stays_on_its_device) {
  const auto models = golden_models();
  if (models.empty()) GTEST_SKIP() << "no mmdit_*.safetensors in " << test::golden_folder();
  memory::PlainRunner plain;
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"split_qkv=True"}, {"rank_dropout=0.2", "module_dropout=0.2"}, {"emb_dims=[4,4,4,4,4,4]"}}) {
    SCOPED_TRACE(args.front());
    expect_step(models.back(), at::kFloat, network_of("networks.lora_sd3", args), plain);
  }
  for (const auto& name : network_names()) {
    SCOPED_TRACE(name);
    expect_step(models.back(), at::kFloat, network_of(name, {}), plain);
  }
}

}  // namespace
}  // namespace loraptor::network
