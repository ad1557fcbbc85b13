// The autoencoder against the recorded values of the reference.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "models/model_parts.h"
#include "models/vae.h"
#include "support/temp_folder.h"

namespace loraptor::models {
namespace {

using test::GoldenFile;

class GoldenVae : public testing::TestWithParam<std::filesystem::path> {
 protected:
  /// The cases of a file: the X of every X.pixels.
  static std::vector<std::string> cases(const GoldenFile& file) {
    std::vector<std::string> list;
    for (const auto& name : file.names()) {
      if (name.ends_with(".pixels")) list.push_back(name.substr(0, name.size() - std::string(".pixels").size()));
    }
    return list;
  }
};

void compare_case(GoldenFile& file, const Vae& vae, const std::string& name) {
  const double limit = test::tolerance("vae");
  const auto compare = [&](const std::string& what, const at::Tensor& got, double tolerance) {
    if (file.has(name + what)) file.expect_close(name + what, got, tolerance);
  };
  const ActivationTrace trace = [&](const std::string& what, const at::Tensor& value) {
    const std::string full = name + ".act." + what;
    if (file.has(full))
      file.expect_close(full, value.slice(1, 0, file[full].size(1)), test::tolerance("vae_activation"));
    compare(".act." + what + ".absmean", value.abs().mean({2, 3}), test::tolerance("vae_activation"));
  };
  const auto moments = vae.encode(file[name + ".pixels"], trace);
  const auto parts = moments.chunk(2, 1);
  compare(".mean", parts[0], limit);
  compare(".logvar", parts[1], limit);
  if (!file.has(name + ".eps")) return;
  const auto latent = sample_posterior(moments, file[name + ".eps"]);
  compare(".latent", latent, limit);
  const auto& recorded = file.has(name + ".latent") ? file[name + ".latent"] : latent;
  compare(".process_in", process_in(recorded), 1e-6);
  compare(".process_out", process_out(process_in(recorded)), 1e-6);
  compare(".decoded", vae.decode(recorded, trace), limit);
}

TEST_P(GoldenVae, every_case_matches) {
  GoldenFile file(GetParam());
  const std::string model = GetParam().stem().string().substr(std::string("vae_").size());
  const Vae vae(test::golden_part(model, Part::vae));
  for (const auto& name : cases(file)) compare_case(file, vae, name);
  if (file.has("clamp.raw")) {
    file.expect_close("clamp.latent", sample_posterior(file["clamp.raw"], file["clamp.eps"]), test::tolerance("vae"));
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenVae, testing::ValuesIn(test::golden_files("models", "vae_", ".safetensors")),
                         [](const auto& info) { return info.param.stem().string(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenVae);

io::NamedTensors vae_tensors(const std::string& model) {
  const auto reader = test::golden_part(model, Part::vae);
  io::NamedTensors tensors;
  for (const auto& name : reader.names()) tensors.emplace_back(name, reader.get(name, reader.shape(name)));
  return tensors;
}

ModelFiles with_own_vae(const std::string& model, const std::filesystem::path& path) {
  auto config = test::golden_config(model);
  config.vae = path;
  return ModelFiles::open(config);
}

/// The same VAE with the names that checkpoint_variants.json lists for diffusers.
io::NamedTensors diffusers_tensors(const io::NamedTensors& original, bool old_attention_names) {
  const auto variants =
      test::read_golden_json(test::golden_folder() / "models/checkpoint_variants.json")["vae_diffusers"];
  std::map<std::string, std::string> names;
  for (const auto& row : variants["map"]) names[row[0]] = row[1];
  std::set<std::string> reshaped;
  for (const auto& name : variants["reshaped"]) reshaped.insert(name);
  io::NamedTensors renamed;
  for (const auto& [name, value] : original) {
    std::string other = names.at(name);
    if (old_attention_names) {
      for (const auto& [now, before] : {std::pair<std::string, std::string>{".to_q.", ".query."},
                                        {".to_k.", ".key."},
                                        {".to_v.", ".value."},
                                        {".to_out.0.", ".proj_attn."}}) {
        if (const auto at = other.find(now); at != std::string::npos) other.replace(at, now.size(), before);
      }
    }
    renamed.emplace_back(other, reshaped.count(name) != 0 ? value.flatten(1) : value);
  }
  return renamed;
}

TEST(GoldenVaeNames, both_layouts_with_and_without_prefix_give_the_same_vae) {
  if (!std::filesystem::exists(test::golden_folder() / "models/checkpoint_variants.json")) {
    GTEST_SKIP() << "no models/checkpoint_variants.json";
  }
  const test::TempFolder folder;
  const auto model = test::golden_models().front();
  const auto original = vae_tensors(model);
  const auto pixels = test::unit_values("pixels", 3 * 32 * 48).view({1, 3, 32, 48}).to(at::kFloat);
  const auto want = Vae(test::golden_part(model, Part::vae)).encode(pixels);
  io::NamedTensors prefixed;
  for (const auto& [name, value] : original) prefixed.emplace_back("first_stage_model." + name, value);
  const std::pair<const char*, io::NamedTensors> files[] = {{"original", original},
                                                            {"prefixed", prefixed},
                                                            {"diffusers", diffusers_tensors(original, false)},
                                                            {"old_diffusers", diffusers_tensors(original, true)}};
  for (const auto& [name, tensors] : files) {
    const auto path = folder / (std::string(name) + ".safetensors");
    io::write_safetensors(path, tensors);
    const Vae vae(with_own_vae(model, path).part(Part::vae, {}));
    EXPECT_TRUE(at::equal(vae.encode(pixels), want)) << name;
  }
}

TEST(FormatVae, missing_and_unexpected_tensors_are_named_together) {
  const test::TempFolder folder;
  const auto model = test::golden_models().front();
  auto tensors = vae_tensors(model);
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "decoder.up.1.block.2.conv1.bias"; });
  tensors.emplace_back("quant_conv.weight", at::zeros({2}));
  io::write_safetensors(folder / "vae.safetensors", tensors);
  try {
    Vae(with_own_vae(model, folder / "vae.safetensors").part(Part::vae, {}));
    FAIL() << "no error";
  } catch (const FileError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("missing 'decoder.up.1.block.2.conv1.bias'"), std::string::npos) << text;
    EXPECT_NE(text.find("unexpected 'quant_conv.weight'"), std::string::npos) << text;
    EXPECT_NE(text.find("vae.safetensors"), std::string::npos) << text;
  }
}

TEST(FormatVae, a_wrong_shape_names_the_tensor) {
  const test::TempFolder folder;
  const auto model = test::golden_models().front();
  auto tensors = vae_tensors(model);
  for (auto& [name, value] : tensors) {
    if (name == "encoder.conv_out.weight") value = value.slice(0, 0, 8);
  }
  io::write_safetensors(folder / "vae.safetensors", tensors);
  try {
    Vae(with_own_vae(model, folder / "vae.safetensors").part(Part::vae, {}));
    FAIL() << "no error";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("'encoder.conv_out.weight' has the wrong shape: got [8,"),
              std::string::npos)
        << error.what();
  }
}

TEST(Vae, bfloat16_stays_near_float32) {
  const auto model = test::golden_models().front();
  const auto pixels = test::unit_values("pixels", 3 * 32 * 32).view({1, 3, 32, 32}).to(at::kFloat);
  const auto exact = Vae(test::golden_part(model, Part::vae)).encode(pixels);
  const Vae vae(test::golden_part(model, Part::vae, at::kBFloat16));
  const auto rough = vae.encode(pixels);
  EXPECT_EQ(rough.scalar_type(), vae.dtype());
  EXPECT_LT((exact - rough).norm().item<double>() / exact.norm().item<double>(), 0.05);
}

}  // namespace
}  // namespace loraptor::models
