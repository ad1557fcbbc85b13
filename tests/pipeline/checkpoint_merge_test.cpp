// LoRAs into checkpoint files and out of them, against the recorded weights and against attached LoRAs.
#include "pipeline/checkpoint_merge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "network/golden_lora.h"
#include "network/key_names.h"
#include "network/lora_network.h"
#include "pipeline/checkpoint_report.h"
#include "pipeline/lora_extract.h"
#include "support/refusal.h"
#include "support/temp_folder.h"

namespace loraptor::pipeline {
namespace {

using models::Part;
using test::GoldenFile;
const std::vector<Part> kAllParts{Part::mmdit, Part::clip_l, Part::clip_g, Part::t5xxl};
constexpr const char* kModel = "tiny_sd35m";
const std::string kQkv = "joint_blocks.0.x_block.attn.qkv";
const std::string kPrefix = "model.diffusion_model.";

CheckpointMerge job(const std::filesystem::path& from, const std::filesystem::path& to) {
  CheckpointMerge job;
  job.from = from;
  job.to = to;
  job.parts = kAllParts;
  return job;
}

/// A LoRA with one module, as if read from a file.
network::WeightedLora one_module(const std::string& name, int64_t in, int64_t out, double ratio = 1) {
  at::manual_seed(7);
  network::WeightedLora lora;
  lora.ratio = ratio;
  lora.file.path = "lora.safetensors";
  lora.file.modules[name] = {at::randn({2, in}), at::randn({out, 2}) * 0.1, 1};
  return lora;
}

at::Tensor tensor_of(const std::filesystem::path& path, const std::string& name) {
  return io::SafetensorsFile::open(path)->tensor(name);
}

TEST(GoldenCheckpointMerge, merged_weights_equal_the_reference) {
  const auto paths = test::golden_files("models", "merge_", ".safetensors");
  if (paths.empty()) GTEST_SKIP() << "no merge_*.safetensors in " << test::golden_folder();
  for (const auto& path : paths) {
    GoldenFile golden(path);
    const std::string model = path.stem().string().substr(std::string("merge_").size());
    const auto args = golden.metadata("lora");
    const test::TempFolder folder;
    {
      models::MMDiT mmdit(test::golden_part(model, Part::mmdit), {});
      std::vector<network::TargetLinear> targets;
      test::append_targets(targets, network::TargetModel::mmdit, mmdit);
      const auto lora = create_network(test::golden_network_config(args), targets, {});
      test::fill_golden_values(*lora, model);
      network::write_lora_file(folder / "lora.safetensors", lora->state(at::kFloat), {});
    }
    const auto loras =
        network::read_weighted_loras({(folder / "lora.safetensors").string()}, {args.at("multiplier").get<double>()});
    const auto base = test::golden_checkpoint(model) / "mmdit_vae.safetensors";
    const auto report = merge_into_checkpoint(job(base, folder / "out.safetensors"), loras, {});
    EXPECT_EQ(report.changed, static_cast<int64_t>(golden.metadata("changed_keys").size()));
    for (const auto& name : golden.names_starting("merged.")) {
      const auto got = tensor_of(folder / "out.safetensors", kPrefix + name.substr(std::string("merged.").size()));
      golden.expect_close(name, got.view(golden[name].sizes()), test::tolerance("merged"));
    }
    const auto rows = golden.metadata("rows");
    for (const auto& name : golden.names_starting("merged_rows.")) {
      const std::string weight = name.substr(std::string("merged_rows.").size());
      const auto index = at::tensor(rows.at(weight).get<std::vector<int64_t>>());
      const auto got = tensor_of(folder / "out.safetensors", kPrefix + weight).index_select(0, index);
      golden.expect_close(name, got, test::tolerance("merged"));
    }
  }
}

TEST(checkpoint_merge, other_tensors_and_their_names_stay) {
  const test::TempFolder folder;
  const auto base = test::golden_checkpoint(kModel) / "mmdit_vae.safetensors";
  const auto lora = one_module(network::module_name(network::TargetModel::mmdit, kQkv), 256, 768, 0.5);
  EXPECT_EQ(merge_into_checkpoint(job(base, folder / "out"), {lora}, {}).changed, 1);
  const auto before = io::SafetensorsFile::open(base), after = io::SafetensorsFile::open(folder / "out");
  ASSERT_EQ(before->names().size(), after->names().size());
  for (const auto& name : before->names()) {
    const bool same = before->tensor(name).equal(after->tensor(name));
    EXPECT_EQ(same, name != kPrefix + kQkv + ".weight") << name;
  }
  EXPECT_EQ(after->metadata().at("modelspec.merged_from"), "mmdit_vae, lora");
}

/// A file with one module of LoHa, LoKr or DoRA; `dora` is "", "rows" or "columns".
network::WeightedLora one_factor_module(const network::AlgoArgs& args, const std::string& dora, int64_t in,
                                        int64_t out) {
  network::FactorSet set;
  for (const auto& spec : network::factor_specs(args, out, in, 2)) set.factors[spec.key] = at::randn(spec.shape) * 0.3;
  set.alpha = 2;
  if (dora == "rows") set.dora_scale = at::rand({out, 1}) + 0.5;
  if (dora == "columns") set.dora_scale = at::rand({1, in}) + 0.5;
  network::WeightedLora lora;
  lora.file.path = "factors.safetensors";
  lora.ratio = 0.7;
  lora.factors[network::module_name(network::TargetModel::mmdit, kQkv)] = std::move(set);
  return lora;
}

at::Tensor changed(const at::Tensor& weight, const network::WeightedLora& lora) {
  const auto& set = lora.factors.begin()->second;
  return weight + network::weight_change(set.factors, set.strength(), set.dora_scale, weight, lora.ratio);
}

TEST(checkpoint_merge, loha_lokr_and_dora_are_merged_in_the_order_of_the_files) {
  at::manual_seed(9);
  const test::TempFolder folder;
  const auto base = test::golden_checkpoint(kModel) / "mmdit_vae.safetensors";
  const std::string name = kPrefix + kQkv + ".weight";
  const auto weight = tensor_of(base, name);
  const std::vector<network::WeightedLora> loras{one_factor_module({.algo = network::Algo::loha}, "", 256, 768),
                                                 one_factor_module({}, "rows", 256, 768),
                                                 one_factor_module({.algo = network::Algo::lokr}, "columns", 256, 768)};
  EXPECT_EQ(merge_into_checkpoint(job(base, folder / "out"), loras, {}).changed, 1);
  auto want = weight;
  for (const auto& lora : loras) want = changed(want, lora);
  EXPECT_LT(((tensor_of(folder / "out", name) - want).norm() / (want - weight).norm()).item<double>(), 1e-5);
  auto wrong = one_factor_module({}, "rows", 256, 700);
  EXPECT_THROW(merge_into_checkpoint(job(base, folder / "out"), {wrong}, {}), FileError);
}

TEST(checkpoint_merge, layers_that_a_file_cuts_are_decomposed_as_a_whole) {
  at::manual_seed(10);
  const test::TempFolder folder;
  const int64_t width = 64;
  const auto whole = at::randn({3 * width, width});
  io::NamedTensors tensors;
  const char* sides[] = {"transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k",
                         "transformer_blocks.0.attn.to_v"};
  for (int i = 0; i < 3; ++i)
    tensors.emplace_back(std::string(sides[i]) + ".weight", whole.slice(0, width * i, width * (i + 1)).contiguous());
  io::write_safetensors(folder / "cut", tensors);
  for (const char* dora : {"", "rows", "columns"}) {
    const auto lora = one_factor_module({.algo = network::Algo::lokr}, dora, width, 3 * width);
    EXPECT_EQ(merge_into_checkpoint(job(folder / "cut", folder / "out"), {lora}, {}).changed, 3);
    std::vector<at::Tensor> parts;
    for (const char* side : sides) parts.push_back(tensor_of(folder / "out", std::string(side) + ".weight"));
    const auto want = changed(whole, lora);
    EXPECT_LT(((at::cat(parts) - want).norm() / (want - whole).norm()).item<double>(), 1e-5) << dora;
  }
}

TEST(checkpoint_merge, embedded_encoders_get_their_part) {
  const test::TempFolder folder;
  const auto encoder = io::SafetensorsFile::open(test::golden_checkpoint(kModel) / "clip_g.safetensors");
  io::NamedTensors tensors;
  for (const auto& name : encoder->names()) {
    tensors.emplace_back("text_encoders.clip_g.transformer." + name, encoder->tensor(name));
  }
  io::write_safetensors(folder / "single", tensors);
  const std::string path = "text_model.encoder.layers.1.mlp.fc1";
  const auto lora = one_module(network::module_name(network::TargetModel::clip_g, path), 192, 768);
  EXPECT_EQ(merge_into_checkpoint(job(folder / "single", folder / "out"), {lora}, {}).changed, 1);
  const std::string name = "text_encoders.clip_g.transformer." + path + ".weight";
  const auto want = tensor_of(folder / "single", name) + lora.file.modules.begin()->second.delta();
  EXPECT_TRUE(tensor_of(folder / "out", name).allclose(want, 0, 1e-6));

  auto alone = job(encoder->path(), folder / "alone");
  alone.parts = {Part::clip_g};
  alone.embedded = false;
  merge_into_checkpoint(alone, {lora}, {});
  EXPECT_TRUE(tensor_of(folder / "alone", path + ".weight").equal(tensor_of(folder / "out", name)));
}

TEST(checkpoint_merge, diffusers_files_get_q_k_and_v_and_the_other_order) {
  const test::TempFolder folder;
  const int64_t width = 64;
  at::manual_seed(8);
  io::NamedTensors tensors;
  for (const char* piece : {"to_q", "to_k", "to_v"}) {
    tensors.emplace_back(fmt::format("transformer_blocks.0.attn.{}.weight", piece), at::randn({width, width}));
  }
  tensors.emplace_back("norm_out.linear.weight", at::randn({2 * width, width}));
  io::write_safetensors(folder / "base", tensors);
  const auto qkv = one_module(network::module_name(network::TargetModel::mmdit, kQkv), width, 3 * width);
  const auto last = one_module("lora_unet_final_layer_adaLN_modulation_1", width, 2 * width);
  EXPECT_EQ(merge_into_checkpoint(job(folder / "base", folder / "out"), {qkv, last}, {}).changed, 4);
  const auto parts = qkv.file.modules.begin()->second.delta().chunk(3, 0);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(tensor_of(folder / "out", tensors[i].first).allclose(tensors[i].second + parts[i], 0, 1e-5));
  }
  const auto swapped = at::roll(last.file.modules.begin()->second.delta(), width, 0);
  EXPECT_TRUE(tensor_of(folder / "out", tensors[3].first).allclose(tensors[3].second + swapped, 0, 1e-5));
}

/// A file with one weight the MMDiT is found by and one that changes, in `dtype`, with a scale if there is one.
void write_small(const std::filesystem::path& path, const at::Tensor& weight, std::optional<double> scale) {
  io::NamedTensors tensors{{kPrefix + "x_embedder.proj.weight", at::ones({4, 16, 2, 2}).to(at::kBFloat16)},
                           {kPrefix + kQkv + ".weight", weight}};
  if (scale) tensors.emplace_back(kPrefix + kQkv + ".scale_weight", at::scalar_tensor(*scale, at::kFloat));
  io::write_safetensors(path, tensors);
}

TEST(checkpoint_merge, each_dtype_is_rounded_once) {
  const test::TempFolder folder;
  at::manual_seed(9);
  const auto values = at::randn({24, 8});
  const auto lora = one_module(network::module_name(network::TargetModel::mmdit, kQkv), 8, 24);
  const auto delta = lora.file.modules.begin()->second.delta();
  for (const auto dtype : {at::kBFloat16, at::kHalf, at::kFloat8_e4m3fn}) {
    write_small(folder / "base", values.to(dtype), std::nullopt);
    merge_into_checkpoint(job(folder / "base", folder / "out"), {lora}, {});
    const auto got = tensor_of(folder / "out", kPrefix + kQkv + ".weight");
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_TRUE(got.to(at::kFloat).equal((values.to(dtype).to(at::kFloat) + delta).to(dtype).to(at::kFloat)));
  }
}

TEST(checkpoint_merge, scaled_fp8_gets_a_scale_that_fits) {
  const test::TempFolder folder;
  at::manual_seed(10);
  const auto values = at::randn({24, 8});
  const double scale = values.abs().max().item<double>() / 448;
  write_small(folder / "base", (values / scale).to(at::kFloat8_e4m3fn), scale);
  const auto lora = one_module(network::module_name(network::TargetModel::mmdit, kQkv), 8, 24, 10);
  const auto want = CheckpointTensors(folder / "base").value(kPrefix + kQkv + ".weight") +
                    10 * lora.file.modules.begin()->second.delta();
  merge_into_checkpoint(job(folder / "base", folder / "out"), {lora}, {});
  const CheckpointTensors out(folder / "out");
  EXPECT_EQ(out.raw(kPrefix + kQkv + ".weight").scalar_type(), at::kFloat8_e4m3fn);
  EXPECT_TRUE(out.value(kPrefix + kQkv + ".weight").allclose(want, 0.07, 0.01));
  auto wide = job(folder / "base", folder / "wide");
  wide.save_precision = at::kFloat;
  merge_into_checkpoint(wide, {lora}, {});
  EXPECT_TRUE(tensor_of(folder / "wide", kPrefix + kQkv + ".weight").allclose(want, 1e-5, 1e-5));
  EXPECT_FALSE(io::SafetensorsFile::open(folder / "wide")->has(kPrefix + kQkv + ".scale_weight"));
  EXPECT_EQ(tensor_of(folder / "wide", kPrefix + "x_embedder.proj.weight").scalar_type(), at::kFloat);
}

TEST(checkpoint_merge, the_mark_of_scaled_fp8_is_there_as_long_as_the_scales_are) {
  const test::TempFolder folder;
  at::manual_seed(11);
  io::NamedTensors tensors{{kPrefix + "x_embedder.proj.weight", at::ones({4, 16, 2, 2})},
                           {kPrefix + kQkv + ".weight", at::randn({24, 8}).to(at::kFloat8_e4m3fn)},
                           {kPrefix + kQkv + ".scale_weight", at::scalar_tensor(0.5F)},
                           {kPrefix + kQkv + ".scale_input", at::scalar_tensor(1.0F)},
                           {kPrefix + "scaled_fp8", at::zeros({2}).to(at::kFloat8_e4m3fn)},
                           {"first_stage_model.scaled_fp8", at::zeros({2}).to(at::kFloat8_e4m3fn)}};
  io::write_safetensors(folder / "base", tensors);
  const auto lora = one_module(network::module_name(network::TargetModel::mmdit, kQkv), 8, 24);
  const auto names = [&](const CheckpointMerge& merge) {
    merge_into_checkpoint(merge, {lora}, {});
    const auto file = io::SafetensorsFile::open(merge.to);
    return std::set<std::string>(file->names().begin(), file->names().end());
  };
  auto merge = job(folder / "base", folder / "same");
  EXPECT_EQ(names(merge).size(), tensors.size());
  merge.parts = {Part::mmdit};
  merge.parts_only = true;
  merge.to = folder / "part";
  auto part = names(merge);
  EXPECT_EQ(part.size(), tensors.size() - 1);
  EXPECT_EQ(part.count("first_stage_model.scaled_fp8"), 0u);
  merge = job(folder / "base", folder / "wide");
  merge.save_precision = at::kBFloat16;
  EXPECT_EQ(names(merge), std::set<std::string>({kPrefix + "x_embedder.proj.weight", kPrefix + kQkv + ".weight"}));
}

TEST(checkpoint_merge, loras_of_other_models_are_refused_and_leave_no_file) {
  const test::TempFolder folder;
  const auto base = test::golden_checkpoint(kModel) / "mmdit_vae.safetensors";
  const std::string name = network::module_name(network::TargetModel::mmdit, kQkv);
  for (const auto& lora : {one_module(name, 192, 768), one_module(name, 256, 256),
                           one_module("lora_unet_joint_blocks_9_x_block_attn_qkv", 256, 768)}) {
    EXPECT_THROW(merge_into_checkpoint(job(base, folder / "out"), {lora}, {}), FileError);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(lora_extract, what_was_merged_comes_out_again) {
  const test::TempFolder folder;
  const auto base = test::golden_checkpoint(kModel) / "mmdit_vae.safetensors";
  const auto lora = one_module(network::module_name(network::TargetModel::mmdit, kQkv), 256, 768);
  auto kernel = one_module("lora_unet_x_embedder_proj", 64, 256);
  auto& pair = kernel.file.modules.begin()->second;
  pair.down = pair.down.view({2, 16, 2, 2});
  merge_into_checkpoint(job(base, folder / "tuned"), {lora, kernel}, {});
  LoraExtract extract;
  extract.original = base;
  extract.tuned = folder / "tuned";
  extract.dim = 2;
  int64_t calls = 0;
  const auto modules = extract_lora(extract, [&](int64_t done, int64_t total) { calls += done <= total; });
  EXPECT_GT(calls, 40);
  ASSERT_EQ(modules.size(), 2u);
  EXPECT_EQ(modules.at("lora_unet_x_embedder_proj").down.sizes(), at::IntArrayRef({2, 16, 2, 2}));
  for (const auto& want : {lora, kernel}) {
    const auto& [name, original] = *want.file.modules.begin();
    const auto error = (modules.at(name).delta() - original.delta()).norm() / original.delta().norm();
    EXPECT_LT(error.item<double>(), 1e-5) << name;
  }
  extract.clamp_quantile = 0.9;
  const auto clamped = extract_lora(extract, {});
  EXPECT_LT(clamped.begin()->second.up.max().item<double>(), modules.begin()->second.up.max().item<double>());
  extract.tuned = base;
  EXPECT_THROW(extract_lora(extract, {}), FileError);
}

TEST(lora_extract, values_that_are_no_numbers_are_named_with_their_file) {
  const test::TempFolder folder;
  const auto values = at::randn({24, 8});
  write_small(folder / "good", values, std::nullopt);
  for (const double wrong : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    auto broken = values.clone();
    broken[3][4] = wrong;
    write_small(folder / "bad", broken, std::nullopt);
    for (const bool is_tuned : {false, true}) {
      LoraExtract extract;
      extract.original = folder / (is_tuned ? "good" : "bad");
      extract.tuned = folder / (is_tuned ? "bad" : "good");
      const auto text = test::refusal([&] { extract_lora(extract, {}); });
      EXPECT_NE(text.find((folder / "bad").string()), std::string::npos) << text;
      EXPECT_NE(text.find(kPrefix + kQkv + ".weight: got NaN or infinite"), std::string::npos) << text;
    }
  }
}

TEST(checkpoint_report, parts_and_variant_are_told) {
  const auto folder = test::golden_checkpoint(kModel);
  const auto report = checkpoint_report(folder / "mmdit_vae.safetensors");
  ASSERT_EQ(report["parts"].size(), 2u);
  EXPECT_EQ(report["parts"][0]["variant"], "5-medium");
  EXPECT_EQ(report["parts"][0]["dual_blocks"], nlohmann::json({0, 1}));
  EXPECT_EQ(report["parts"][1]["part"], "vae");
  EXPECT_EQ(report["other"]["tensors"], 0);
  EXPECT_EQ(checkpoint_report(folder / "t5xxl.safetensors")["parts"][0]["part"], "t5xxl");
}

TEST(checkpoint_report, the_mark_of_scaled_fp8_belongs_to_its_part) {
  const test::TempFolder folder;
  const auto file = io::SafetensorsFile::open(test::golden_checkpoint(kModel) / "t5xxl.safetensors");
  io::NamedTensors tensors{{"scaled_fp8", at::zeros({2}).to(at::kFloat8_e4m3fn)}};
  for (const auto& name : file->names()) tensors.emplace_back(name, file->tensor(name));
  io::write_safetensors(folder / "t5", tensors);
  const auto report = checkpoint_report(folder / "t5");
  EXPECT_EQ(report["other"]["tensors"], 0);
  EXPECT_EQ(report["parts"][0]["tensors"], tensors.size());
}

}  // namespace
}  // namespace loraptor::pipeline
