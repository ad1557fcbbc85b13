// Which file each model is read from, in which dtype, and what is said when it is not there.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "models/clip_text.h"
#include "models/model_parts.h"
#include "models/t5_encoder.h"
#include "support/temp_folder.h"

namespace loraptor::models {
namespace {

constexpr Part kAll[] = {Part::mmdit, Part::vae, Part::clip_l, Part::clip_g, Part::t5xxl};
const std::string kModel = test::golden_models().front();

io::NamedTensors tensors_of(const PartReader& reader, const std::string& prefix = "") {
  io::NamedTensors tensors;
  for (const auto& name : reader.names()) tensors.emplace_back(prefix + name, reader.get(name, reader.shape(name)));
  return tensors;
}

void expect_equal_parts(const PartReader& got, const PartReader& want) {
  ASSERT_EQ(got.names(), want.names());
  for (const auto& name : want.names()) {
    const auto a = got.get(name, want.shape(name)), b = want.get(name, want.shape(name));
    EXPECT_TRUE(at::equal(a, b)) << got.part() << " " << name;
  }
}

template <class Error, class Action>
void expect_error(const Action& action, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "no error; expected: " << text;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(Checkpoint, a_single_file_holds_everything_the_separate_files_hold) {
  const test::TempFolder folder;
  test::make_checkpoint(kModel, folder.path(), "--single-file");
  ModelConfig config;
  config.pretrained_model_name_or_path = folder / "model.safetensors";
  const auto files = ModelFiles::open(config);
  for (Part part : kAll) {
    EXPECT_TRUE(files.has(part));
    expect_equal_parts(files.part(part, {}), test::golden_part(kModel, part));
  }
}

TEST(Checkpoint, plain_reads_give_the_same_as_memory_maps) {
  auto config = test::golden_config(kModel);
  config.disable_mmap_load_safetensors = true;
  expect_equal_parts(ModelFiles::open(config).part(Part::clip_l, {}), test::golden_part(kModel, Part::clip_l));
}

/// Whether some mapping of this process belongs to the file.
bool is_mapped(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(path.string())) return true;
  }
  return false;
}

TEST(Checkpoint, a_closed_file_is_no_longer_mapped_and_opens_again) {
  auto files = ModelFiles::open(test::golden_config(kModel));
  const auto path = files.path(Part::clip_l);
  EXPECT_TRUE(is_mapped(path));
  files.close(Part::clip_l);
  EXPECT_FALSE(is_mapped(path));
  EXPECT_TRUE(files.has(Part::clip_l));
  expect_equal_parts(files.part(Part::clip_l, {}), test::golden_part(kModel, Part::clip_l));
}

TEST(Checkpoint, half_precision_files_are_widened) {
  for (const auto& [option, dtype] : {std::pair{"--dtype f16", at::kHalf}, std::pair{"--dtype bf16", at::kBFloat16}}) {
    const test::TempFolder folder;
    test::make_checkpoint(kModel, folder.path(), option);
    auto config = test::golden_config(kModel);
    config.clip_g = folder / "clip_g.safetensors";
    const auto got = ModelFiles::open(config).part(Part::clip_g, {});
    const auto want = test::golden_part(kModel, Part::clip_g);
    EXPECT_EQ(got.stored_dtype("text_projection.weight"), dtype);
    for (const auto& name : want.names()) {
      const auto value = got.get(name, want.shape(name));
      EXPECT_EQ(value.scalar_type(), at::kFloat);
      EXPECT_TRUE(at::equal(value, want.get(name, want.shape(name)).to(dtype).to(at::kFloat))) << name;
    }
    const ClipText clip(ModelFiles::open(config).part(Part::clip_g, {dtype, at::kCPU}));
  }
}

TEST(Checkpoint, a_given_file_wins_over_the_copy_in_the_main_file) {
  const test::TempFolder folder;
  test::make_checkpoint(kModel, folder.path(), "--single-file");
  for (Part part : {Part::clip_l, Part::clip_g, Part::t5xxl, Part::vae}) {
    const auto own = folder / "own.safetensors";
    auto tensors = tensors_of(test::golden_part(kModel, part));
    tensors.front().second = tensors.front().second + 1;
    io::write_safetensors(own, tensors);
    ModelConfig config;
    config.pretrained_model_name_or_path = folder / "model.safetensors";
    std::optional<std::string>* fields[] = {nullptr, &config.vae, &config.clip_l, &config.clip_g, &config.t5xxl};
    *fields[static_cast<int>(part)] = own;
    const auto files = ModelFiles::open(config);
    const auto& [name, value] = tensors.front();
    EXPECT_TRUE(at::equal(files.part(part, {}).get(name, value.sizes()), value)) << part_name(part);
    EXPECT_EQ(files.path(part), own);
    EXPECT_EQ(files.path(Part::mmdit), folder / "model.safetensors");
  }
}

TEST(Checkpoint, prefixes_of_encoder_files_are_recognised) {
  const test::TempFolder folder;
  for (const std::string prefix : {"", "transformer.", "text_encoders.clip_l.", "text_encoders.clip_l.transformer."}) {
    auto tensors = tensors_of(test::golden_part(kModel, Part::clip_l), prefix);
    tensors.emplace_back(prefix + "logit_scale", at::ones({}));
    tensors.emplace_back(prefix + "text_model.embeddings.position_ids", at::arange(77, at::kLong).view({1, 77}));
    io::write_safetensors(folder / "clip_l.safetensors", tensors);
    auto config = test::golden_config(kModel);
    config.clip_l = folder / "clip_l.safetensors";
    const ClipText clip(ModelFiles::open(config).part(Part::clip_l, {}));
    EXPECT_EQ(clip.width(), test::golden_part(kModel, Part::clip_l).shape("text_projection.weight")[0]);
  }
}

TEST(Checkpoint, clip_l_without_projection_uses_the_identity_and_clip_g_refuses) {
  const test::TempFolder folder;
  auto config = test::golden_config(kModel);
  for (Part part : {Part::clip_l, Part::clip_g}) {
    auto tensors = tensors_of(test::golden_part(kModel, part));
    std::erase_if(tensors, [](const auto& entry) { return entry.first == "text_projection.weight"; });
    io::write_safetensors(folder / (part_name(part) + ".safetensors"), tensors);
  }
  config.clip_l = folder / "clip_l.safetensors";
  config.clip_g = folder / "clip_g.safetensors";
  const auto files = ModelFiles::open(config);
  const ClipText bare(files.part(Part::clip_l, {})), full(test::golden_part(kModel, Part::clip_l));
  auto ids = at::full({1, 77}, 49407, at::kLong);
  ids[0][0] = 49406;
  const auto projection =
      test::golden_part(kModel, Part::clip_l).get("text_projection.weight", {full.width(), full.width()});
  const auto want = full.forward(ids, std::nullopt).pooled, got = bare.forward(ids, std::nullopt).pooled;
  EXPECT_LT((at::linear(got, projection) - want).abs().max().item<double>(), 1e-5);
  expect_error<FileError>([&] { ClipText(files.part(Part::clip_g, {})); }, "'text_projection.weight' is missing");
}

TEST(Checkpoint, t5_embedding_is_found_under_either_name) {
  const test::TempFolder folder;
  auto tensors = tensors_of(test::golden_part(kModel, Part::t5xxl));
  for (auto& [name, value] : tensors) {
    if (name == "shared.weight") name = "encoder.embed_tokens.weight";
  }
  io::write_safetensors(folder / "t5.safetensors", tensors);
  auto config = test::golden_config(kModel);
  config.t5xxl = folder / "t5.safetensors";
  expect_equal_parts(ModelFiles::open(config).part(Part::t5xxl, {}), test::golden_part(kModel, Part::t5xxl));
}

TEST(Checkpoint, scaled_fp8_weights_are_multiplied_out) {
  const test::TempFolder folder;
  auto tensors = tensors_of(test::golden_part(kModel, Part::t5xxl));
  const std::string scaled = "encoder.block.0.layer.1.DenseReluDense.wo.weight";
  at::Tensor want;
  for (auto& [name, value] : tensors) {
    if (name != scaled) continue;
    value = value.mul(64).to(at::kFloat8_e4m3fn);
    want = value.to(at::kFloat).mul(1.0 / 64);
  }
  tensors.emplace_back("encoder.block.0.layer.1.DenseReluDense.wo.scale_weight", at::full({}, 1.0 / 64));
  tensors.emplace_back("scaled_fp8", at::zeros({2}).to(at::kFloat8_e4m3fn));
  io::write_safetensors(folder / "t5.safetensors", tensors);
  auto config = test::golden_config(kModel);
  config.t5xxl = folder / "t5.safetensors";
  const auto reader = ModelFiles::open(config).part(Part::t5xxl, {});
  EXPECT_TRUE(at::equal(reader.get(scaled, want.sizes()), want));
  EXPECT_EQ(reader.names(), test::golden_part(kModel, Part::t5xxl).names());
  const T5Encoder t5(reader);
}

TEST(Checkpoint, mmdit_without_prefix_loads) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "mmdit.safetensors", tensors_of(test::golden_part(kModel, Part::mmdit)));
  auto config = test::golden_config(kModel);
  config.pretrained_model_name_or_path = folder / "mmdit.safetensors";
  expect_equal_parts(ModelFiles::open(config).part(Part::mmdit, {}), test::golden_part(kModel, Part::mmdit));
}

at::Tensor halves_swapped(const at::Tensor& value) {
  const auto halves = value.chunk(2, 0);
  return at::cat({halves[1], halves[0]}, 0);
}

std::string with_number(std::string text, int64_t i) {
  const auto at = text.find("{i}");
  return at == std::string::npos ? text : text.replace(at, 3, std::to_string(i));
}

/// The MMDiT with the names that checkpoint_variants.json lists for diffusers.
io::NamedTensors diffusers_mmdit(const PartReader& reader) {
  const auto variants = test::read_golden_json(test::golden_folder() / "models/checkpoint_variants.json");
  int64_t depth = 0;
  while (reader.has(fmt::format("joint_blocks.{}.x_block.attn.qkv.weight", depth))) ++depth;
  std::map<std::string, std::string>
      plain_of;  // "joint_blocks_0_x_block_attn_qkv" -> "joint_blocks.0.x_block.attn.qkv"
  for (const auto& name : reader.names()) {
    const std::string stem = name.substr(0, name.rfind('.'));
    std::string flat = stem;
    std::replace(flat.begin(), flat.end(), '.', '_');
    plain_of[flat] = stem;
  }
  io::NamedTensors renamed;
  for (const auto& row : variants["lora_to_peft"]["rows"]) {
    const bool in_block = row[0].get<std::string>().find("{i}") != std::string::npos;
    for (int64_t i = 0; i < (in_block ? depth : 1); ++i) {
      const auto found = plain_of.find(with_number(row[0], i));
      if (found == plain_of.end()) continue;
      for (const std::string suffix : {".weight", ".bias"}) {
        if (!reader.has(found->second + suffix)) continue;
        auto value = reader.get(found->second + suffix, reader.shape(found->second + suffix));
        const std::string rule = row[2];
        if (rule == "swap" || (rule == "same_but_swap_in_last_block" && i == depth - 1)) value = halves_swapped(value);
        const auto pieces = value.chunk(static_cast<int64_t>(row[1].size()), 0);
        for (size_t p = 0; p < pieces.size(); ++p) {
          renamed.emplace_back(with_number(row[1][p], i) + suffix, pieces[p].contiguous());
        }
      }
    }
  }
  for (const auto& row : variants["mmdit_diffusers"]["extra"]) {
    for (int64_t i = 0; i < depth; ++i) {
      const std::string name = with_number(row[0], i), other = with_number(row[1], i);
      if (reader.has(name)) renamed.emplace_back(other, reader.get(name, reader.shape(name)));
      if (name == row[0].get<std::string>()) break;
    }
  }
  return renamed;
}

TEST(GoldenCheckpoint, mmdit_in_diffusers_names_loads) {
  if (!std::filesystem::exists(test::golden_folder() / "models/checkpoint_variants.json")) {
    GTEST_SKIP() << "no models/checkpoint_variants.json";
  }
  for (const auto& model : test::golden_models()) {
    const test::TempFolder folder;
    const auto want = test::golden_part(model, Part::mmdit);
    io::write_safetensors(folder / "transformer.safetensors", diffusers_mmdit(want));
    auto config = test::golden_config(model);
    config.pretrained_model_name_or_path = folder / "transformer.safetensors";
    expect_equal_parts(ModelFiles::open(config).part(Part::mmdit, {}), want);
  }
}

TEST(FormatCheckpoint, an_absent_encoder_names_the_flag) {
  auto config = test::golden_config(kModel);
  config.clip_g = std::nullopt;
  config.t5xxl = "";
  const auto files = ModelFiles::open(config);
  EXPECT_FALSE(files.has(Part::clip_g));
  expect_error<UsageError>([&] { files.part(Part::clip_g, {}); }, "[--clip_g]");
  expect_error<UsageError>([&] { files.part(Part::t5xxl, {}); }, "give --t5xxl FILE");
}

TEST(FormatCheckpoint, a_missing_file_a_folder_and_no_file_are_told_apart) {
  const test::TempFolder folder;
  auto config = test::golden_config(kModel);
  config.clip_l = folder / "nothing.safetensors";
  expect_error<FileError>([&] { ModelFiles::open(config); }, "there is no such file (from --clip_l)");
  config.clip_l = folder.path();
  expect_error<UsageError>([&] { ModelFiles::open(config); }, "is a folder");
  config.pretrained_model_name_or_path = std::nullopt;
  expect_error<UsageError>([&] { ModelFiles::open(config); }, "[--pretrained_model_name_or_path]");
}

TEST(FormatCheckpoint, a_file_of_another_part_is_recognised) {
  auto config = test::golden_config(kModel);
  std::swap(config.clip_l, config.t5xxl);
  const auto files = ModelFiles::open(config);
  expect_error<FileError>([&] { files.part(Part::t5xxl, {}); }, "it looks like a file with the text encoder CLIP-L");
  config.pretrained_model_name_or_path = config.clip_g;
  expect_error<FileError>([&] { ModelFiles::open(config).part(Part::mmdit, {}); },
                          "the diffusion transformer is not in");
}

TEST(FormatCheckpoint, exchanged_clip_files_are_noticed) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "clip.safetensors",
                        {{"text_model.embeddings.position_embedding.weight", at::zeros({77, 1280})},
                         {"text_model.embeddings.token_embedding.weight", at::zeros({49408, 1280}, at::kHalf)}});
  auto config = test::golden_config(kModel);
  config.clip_l = folder / "clip.safetensors";
  expect_error<FileError>([&] { ClipText(ModelFiles::open(config).part(Part::clip_l, {})); },
                          "exchange the files of --clip_l and --clip_g");
}

TEST(FormatCheckpoint, a_missing_tensor_names_its_neighbours) {
  const test::TempFolder folder;
  auto tensors = tensors_of(test::golden_part(kModel, Part::clip_l));
  for (auto& [name, value] : tensors) {
    if (name == "text_model.encoder.layers.1.mlp.fc1.bias") name = "text_model.encoder.layers.1.mlp.fc1.bais";
  }
  io::write_safetensors(folder / "clip_l.safetensors", tensors);
  auto config = test::golden_config(kModel);
  config.clip_l = folder / "clip_l.safetensors";
  expect_error<FileError>([&] { ClipText(ModelFiles::open(config).part(Part::clip_l, {})); },
                          "clip_l: tensor 'text_model.encoder.layers.1.mlp.fc1.bias' is missing");
}

TEST(FormatCheckpoint, a_wrong_shape_names_both_shapes) {
  const auto reader = test::golden_part(kModel, Part::clip_l);
  const auto shape = reader.shape("text_projection.weight");
  expect_error<FileError>(
      [&] {
        reader.get("text_projection.weight", {shape[0], shape[1] + 1});
      },
      fmt::format("got [{},{}], expected [{},{}]", shape[0], shape[1], shape[0], shape[1] + 1));
}

}  // namespace
}  // namespace loraptor::models
