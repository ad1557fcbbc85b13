// The MMDiT against the reference's recorded activations and velocities, and its refusals.
#include "models/mmdit.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "models/model_files.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace loraptor::models {
namespace {

namespace fs = std::filesystem;
using test::GoldenFile;

constexpr std::string_view kPrefix = "mmdit_", kSuffix = ".safetensors", kCompat = "_attn2compat";

PartReader open_reader(const fs::path& file, at::ScalarType dtype = at::kFloat) {
  ModelConfig config;
  config.pretrained_model_name_or_path = file;
  return ModelFiles::open(config).part(Part::mmdit, {dtype, at::kCPU});
}

PartReader golden_reader(const std::string& model, at::ScalarType dtype = at::kFloat) {
  return open_reader(test::golden_checkpoint(model) / "mmdit_vae.safetensors", dtype);
}

// "mmdit_tiny_sd35m_attn2compat.safetensors" -> "tiny_sd35m", true
std::pair<std::string, bool> model_of(const fs::path& file) {
  std::string name = file.filename().string().substr(kPrefix.size());
  name.resize(name.size() - kSuffix.size());
  const bool compat = name.ends_with(kCompat);
  if (compat) name.resize(name.size() - kCompat.size());
  return {name, compat};
}

std::vector<fs::path> files(bool compat) {
  std::vector<fs::path> found;
  for (const auto& file : test::golden_files("models", std::string(kPrefix), std::string(kSuffix))) {
    if (model_of(file).second == compat) found.push_back(file);
  }
  return found;
}

fs::path inputs_file(const std::string& model) {
  return test::golden_folder() / "models" / (std::string(kPrefix) + model + std::string(kSuffix));
}

// The recorded input of a case; the text tokens of case b are those of the text file's first prompt.
std::optional<MMDiTInput> input_of(const GoldenFile& file, const std::string& model, const std::string& name) {
  if (!file.has(name + ".x")) return std::nullopt;
  MMDiTInput input;
  input.x = file[name + ".x"];
  input.timesteps = file[name + ".timesteps"];
  input.pooled = file[name + ".y"];
  if (file.has(name + ".context")) {
    input.context = file[name + ".context"];
    return input;
  }
  const fs::path text = test::golden_folder() / "models" / ("text_" + model + ".safetensors");
  if (!fs::exists(text)) return std::nullopt;
  input.context = GoldenFile(text)["nomask.context.prompt0"];
  return input;
}

at::Tensor run(const MMDiT& mmdit, const MMDiTInput& input, const ActivationTrace* trace = nullptr) {
  at::NoGradGuard no_grad;
  memory::PlainRunner runner;
  return mmdit.forward(input, runner, trace);
}

// Compares what was traced with the tensors of a case: temb_sincos and pos lie beside the activations.
void expect_activations(GoldenFile& file, const std::string& name, std::map<std::string, at::Tensor>& traced) {
  if (file.has(name + ".temb_sincos")) {
    file.expect_close(name + ".temb_sincos", traced["temb_sincos"], test::tolerance("temb_sincos"));
  }
  if (file.has(name + ".pos")) file.expect_close(name + ".pos", traced["pos"], test::tolerance("position_window"));
  const std::string prefix = name + ".act.";
  for (const auto& activation : file.names_starting(prefix)) {
    const auto found = traced.find(activation.substr(prefix.size()));
    ASSERT_NE(found, traced.end()) << "nothing is traced for " << activation;
    file.expect_close(activation, found->second, test::tolerance("mmdit"));
  }
}

std::vector<std::string> cases(const GoldenFile& file) {
  std::vector<std::string> found;
  for (const auto& name : file.names()) {
    const std::string suffix = ".velocity";
    if (name.ends_with(suffix) && name.find('.') == name.size() - suffix.size()) {
      found.push_back(name.substr(0, name.size() - suffix.size()));
    }
  }
  return found;
}

void compare_cases(GoldenFile& file, const GoldenFile& inputs, const std::string& model, const MMDiT& mmdit) {
  for (const auto& name : cases(file)) {
    SCOPED_TRACE(name);
    const auto input = input_of(inputs, model, name);
    if (!input) continue;
    std::map<std::string, at::Tensor> traced;
    const ActivationTrace trace = [&traced](const std::string& what, const at::Tensor& value) { traced[what] = value; };
    const auto velocity = run(mmdit, *input, &trace);
    file.expect_close(name + ".velocity", velocity, test::tolerance("mmdit"));
    if (file.has(name + ".velocity_diffusers")) {
      file.expect_close(name + ".velocity_diffusers", velocity, test::tolerance("mmdit"));
    }
    expect_activations(file, name, traced);
  }
}

TEST(GoldenMmdit, activations_and_velocity_equal_the_reference) {
  for (const auto& path : files(false)) {
    SCOPED_TRACE(path);
    const std::string model = model_of(path).first;
    GoldenFile file(path);
    compare_cases(file, file, model, MMDiT(golden_reader(model), {}));
  }
}

TEST(GoldenMmdit, attn2_compat_equals_the_unchanged_reference) {
  for (const auto& path : files(true)) {
    SCOPED_TRACE(path);
    const std::string model = model_of(path).first;
    if (!fs::exists(inputs_file(model))) continue;
    GoldenFile file(path);
    const GoldenFile inputs(inputs_file(model));
    compare_cases(file, inputs, model, MMDiT(golden_reader(model), {.attn2_compat = true}));
  }
}

TEST(GoldenMmdit, position_window_moves_with_the_crop) {
  for (const auto& path : files(false)) {
    SCOPED_TRACE(path);
    const std::string model = model_of(path).first;
    GoldenFile file(path);
    const MMDiT mmdit(golden_reader(model), {});
    auto input = input_of(file, model, "a");
    if (!input) continue;
    for (int k = 0; file.has(fmt::format("crop.{}.top_left", k)); ++k) {
      const auto corner = file[fmt::format("crop.{}.top_left", k)].to(at::kLong);
      input->crop = PositionCrop{corner[0].item<int64_t>(), corner[1].item<int64_t>()};
      file.expect_close(fmt::format("crop.{}.velocity", k), run(mmdit, *input), test::tolerance("mmdit"));
    }
  }
}

// Cells whose rows of a large table are recorded.
at::Tensor recorded_cells(int64_t side) {
  return at::tensor({int64_t{0}, int64_t{1}, side - 1, side, side / 2 * side + side / 2, side * side - 1});
}

void compare_tables(GoldenFile& file, const nn::ScaledPositions& positions, const std::string& prefix) {
  for (const auto& [limit, table] : positions.tables()) {
    const std::string whole = fmt::format("{}table.q{}", prefix, table.q);
    const std::string rows = fmt::format("{}table_rows.q{}", prefix, table.q);
    if (file.has(whole)) file.expect_close(whole, table.values, test::tolerance("scaled_table"));
    if (file.has(rows)) {
      const auto got = table.values.index_select(1, recorded_cells(table.side));
      file.expect_close(rows, got, test::tolerance("scaled_table"));
    }
  }
}

nlohmann::json limits_of(const nn::ScaledPositions& positions) {
  auto limits = nlohmann::json::array();
  for (const auto& [limit, table] : positions.tables()) limits.push_back({limit, table.q});
  return limits;
}

void compare_scaled_set(GoldenFile& file, const std::string& model, size_t number, const nlohmann::json& set) {
  const std::string prefix = fmt::format("scaled.{}.", number);
  MMDiT mmdit(golden_reader(model), {});
  nn::ScaledPositions positions(set["resolutions"].get<std::vector<std::pair<int64_t, int64_t>>>(),
                                mmdit.variant().width);
  EXPECT_EQ(limits_of(positions), set["limits"]);
  for (const auto& [limit, table] : positions.tables()) {
    EXPECT_EQ(table.side, set["grid_sides"][std::to_string(table.q)].get<int64_t>());
  }
  compare_tables(file, positions, prefix);
  size_t k = 0;
  for (const auto& lookup : set["lookups"]) {
    const auto size = lookup["latent_hw"].get<std::vector<int64_t>>();
    const auto window = positions.window((size[0] + 1) / 2, (size[1] + 1) / 2);
    EXPECT_EQ(window.size(1), lookup["tokens"].get<int64_t>());
    const auto rows = at::tensor(lookup["rows"].get<std::vector<int64_t>>());
    file.expect_close(fmt::format("{}lookup{}.rows", prefix, k++), window.index_select(1, rows),
                      test::tolerance("scaled_table"));
    EXPECT_EQ(limits_of(positions), lookup["limits_after"]);
  }
  const auto input = input_of(file, model, "a");
  if (!input || !file.has(prefix + "velocity_a")) return;
  mmdit.use_scaled_positions(std::move(positions));
  file.expect_close(prefix + "velocity_a", run(mmdit, *input), test::tolerance("mmdit"));
}

TEST(GoldenMmdit, scaled_positions_equal_the_reference) {
  for (const auto& path : files(false)) {
    SCOPED_TRACE(path);
    GoldenFile file(path);
    size_t number = 0;
    for (const auto& set : file.metadata("scaled")) compare_scaled_set(file, model_of(path).first, number++, set);
  }
}

TEST(GoldenMmdit, bf16_stays_near_float32) {
  for (const auto& path : files(false)) {
    const std::string model = model_of(path).first;
    GoldenFile file(path);
    const auto input = input_of(file, model, "a");
    if (!input) continue;
    const auto got = run(MMDiT(golden_reader(model, at::kBFloat16), {}), *input);
    EXPECT_EQ(got.scalar_type(), at::kFloat);
    file.expect_relative("bf16 velocity", got, file["a.velocity"], 0.02);
  }
}

std::string first_model() { return test::golden_models().front(); }

TEST(Mmdit, variant_follows_models_json) {
  const auto models = test::read_golden_json(test::golden_folder() / "models.json");
  for (const auto& [name, entry] : models.items()) {
    const auto variant = detect_variant(golden_reader(name));
    const auto& want = entry["mmdit"];
    EXPECT_EQ(variant.depth, want["depth"].get<int64_t>());
    EXPECT_EQ(variant.width, 64 * variant.depth);
    EXPECT_EQ(variant.qk_norm, want["qk_norm"].get<bool>());
    EXPECT_EQ(variant.pos_side, want["pos_side"].get<int64_t>());
    EXPECT_EQ(variant.dual_blocks, want["dual_blocks"].get<std::set<int64_t>>());
    EXPECT_EQ(variant.type_name(), !variant.qk_norm ? "medium" : variant.dual_blocks.empty() ? "5-large" : "5-medium");
  }
}

TEST(Mmdit, linears_are_visited_blocks_first) {
  MMDiT mmdit(golden_reader(first_model()), {});
  std::vector<std::string> paths;
  mmdit.visit_linears([&paths](const std::string& path, nn::Linear&) { paths.push_back(path); });
  ASSERT_GT(paths.size(), 8u);
  EXPECT_EQ(paths.front(), "joint_blocks.0.context_block.attn.qkv");
  const std::vector<std::string> outside(paths.end() - 8, paths.end());
  EXPECT_EQ(outside, (std::vector<std::string>{"context_embedder", "t_embedder.mlp.0", "t_embedder.mlp.2",
                                               "x_embedder.proj", "y_embedder.mlp.0", "y_embedder.mlp.2",
                                               "final_layer.adaLN_modulation.1", "final_layer.linear"}));
}

template <class Error, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Mmdit, refuses_odd_and_too_large_latents_and_crops_outside) {
  const MMDiT mmdit(golden_reader(first_model()), {});
  const auto& v = mmdit.variant();
  const auto forward = [&](int64_t height, int64_t width, std::optional<PositionCrop> crop = {}) {
    run(mmdit, {at::zeros({1, 16, height, width}), at::zeros({1}), at::zeros({1, 3, v.context_width}),
                at::zeros({1, v.pooled_width}), crop});
  };
  EXPECT_NE(message_of<UsageError>([&] { forward(7, 8); }).find("got 8 x 7, expected multiples of 2"),
            std::string::npos);
  const int64_t side = v.pos_side;
  EXPECT_NE(message_of<UsageError>([&] {
              forward(4, 2 * side + 2);
            }).find(fmt::format("got {} x 2, expected at most {} x {}", side + 1, side, side)),
            std::string::npos);
  EXPECT_NE(message_of<UsageError>([&] {
              forward(4, 4, PositionCrop{side - 1, 0});
            }).find("got column 0, row"),
            std::string::npos);
}

TEST(FormatMmdit, another_model_is_refused_by_tensor_name) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "other.safetensors", {{"x_embedder.proj.weight", at::zeros({64, 16, 2, 2})}});
  const auto file = io::SafetensorsFile::open(folder / "other.safetensors");
  const std::map<std::string, std::string> names{{"x_embedder.proj.weight", "x_embedder.proj.weight"}};
  const PartReader reader(file, "mmdit", names, {});
  EXPECT_NE(message_of<FileError>([&] { detect_variant(reader); }).find("tensor 'pos_embed' of the MMDiT: got none"),
            std::string::npos);
}

TEST(FormatMmdit, a_position_table_that_is_no_square_is_refused) {
  const test::TempFolder folder;
  const io::NamedTensors tensors{{"pos_embed", at::zeros({1, 10, 64})},
                                 {"x_embedder.proj.weight", at::zeros({64, 16, 2, 2})}};
  io::write_safetensors(folder / "other.safetensors", tensors);
  const auto file = io::SafetensorsFile::open(folder / "other.safetensors");
  std::map<std::string, std::string> names;
  for (const auto& [name, tensor] : tensors) names[name] = name;
  const PartReader reader(file, "mmdit", names, {});
  EXPECT_NE(message_of<FileError>([&] { detect_variant(reader); }).find("'pos_embed': got shape [1,10,64]"),
            std::string::npos);
}

}  // namespace
}  // namespace loraptor::models
