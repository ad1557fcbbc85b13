// LoRA files of the reference: layout, hashes, reading; and files that must be refused.
#include "network/lora_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace loraptor::network {
namespace {

io::NamedTensors tensors_of(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  io::NamedTensors tensors;
  for (const auto& name : file->names()) tensors.emplace_back(name, file->tensor(name));
  return tensors;
}

/// The members of a safetensors header.
nlohmann::ordered_json header_of(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof length);
  return nlohmann::ordered_json::parse(text.substr(8, length));
}

/// Rewrites a file of the reference and compares everything that has one right value.
void check_entry(const std::filesystem::path& path, const nlohmann::json& entry) {
  SCOPED_TRACE(path);
  test::mark_golden_read(path);
  const auto original = io::SafetensorsFile::open(path);
  auto tensors = tensors_of(path);
  std::reverse(tensors.begin(), tensors.end());  // the writer sorts
  EXPECT_EQ(model_hash(tensors), entry.at("data_sha256").get<std::string>());
  EXPECT_EQ(model_hash(tensors), entry.at("metadata").at("sshs_model_hash").get<std::string>());
  EXPECT_EQ(legacy_hash(tensors, original->metadata()), entry.at("metadata").at("sshs_legacy_hash").get<std::string>());
  EXPECT_EQ(original->metadata(), entry.at("metadata").get<io::Metadata>());

  const test::TempFolder folder;
  io::Metadata metadata = original->metadata();
  metadata.erase("sshs_model_hash");
  metadata.erase("sshs_legacy_hash");
  write_lora_file(folder / "copy.safetensors", tensors, metadata);
  EXPECT_EQ(std::filesystem::file_size(folder / "copy.safetensors"), entry.at("file_bytes").get<uint64_t>());
  auto header = header_of(folder / "copy.safetensors");
  EXPECT_EQ(header["__metadata__"].get<io::Metadata>(), entry.at("metadata").get<io::Metadata>());
  EXPECT_EQ(header.begin().key(), "__metadata__");
  header.erase("__metadata__");
  std::vector<std::string> order;
  for (const auto& [name, member] : header.items()) {
    order.push_back(name);
    EXPECT_EQ(nlohmann::json::parse(member.dump()), entry.at("tensor_headers").at(name)) << name;
  }
  EXPECT_EQ(order, entry.at("tensor_order").get<std::vector<std::string>>());
  EXPECT_EQ(sha256_hex_of_file(folder / "copy.safetensors", entry.at("header_bytes").get<uint64_t>() + 8),
            sha256_hex_of_file(path, entry.at("header_bytes").get<uint64_t>() + 8));
}

void check_reading(const std::filesystem::path& path, const nlohmann::json& entry) {
  const auto file = read_lora_file(path);
  EXPECT_TRUE(file.unknown_keys.empty());
  EXPECT_EQ(3 * file.modules.size(), entry.at("tensor_order").size());
  for (const auto& [name, pair] : file.modules) {
    EXPECT_EQ(pair.rank(), std::stoll(file.metadata.at("ss_network_dim"))) << name;
    EXPECT_EQ(pair.alpha, std::stod(file.metadata.at("ss_network_alpha"))) << name;
  }
}

TEST(GoldenLoraFile, files_of_the_reference_are_read_and_written_alike) {
  const auto lists = test::golden_files("train", "lora_file", ".json");
  if (lists.empty()) GTEST_SKIP() << "no lora_file.json in " << test::golden_folder();
  for (const auto& list : lists) {
    const auto golden = test::read_golden_json(list);
    ASSERT_FALSE(golden.at("entries").empty());
    for (const auto& entry : golden.at("entries")) {
      const auto path = list.parent_path() / entry.at("file").get<std::string>();
      if (!std::filesystem::exists(path)) continue;
      check_entry(path, entry);
      check_reading(path, entry);
    }
  }
}

/// The tensors of the hash cases, cast as `precision` says ("float32", "float32, int64 alpha", "bfloat16", "float16").
io::NamedTensors formula_tensors(const std::string& precision) {
  const auto dtype = precision.starts_with("bfloat16")  ? at::kBFloat16
                     : precision.starts_with("float16") ? at::kHalf
                                                        : at::kFloat;
  const bool integer_alpha = precision.find("int64") != std::string::npos;
  io::NamedTensors tensors;
  for (int i = 0; i < 3; ++i) {
    const std::string name = fmt::format("lora_unet_joint_blocks_{}_x_block_mlp_fc1", i);
    tensors.emplace_back(name + ".alpha", at::scalar_tensor(1, integer_alpha ? at::kLong : dtype));
    for (const auto& [half, shape] : {std::pair{".lora_down.weight", std::vector<int64_t>{64, 640}},
                                      std::pair{".lora_up.weight", std::vector<int64_t>{2560, 64}}}) {
      const auto values = test::unit_values("hash/" + name + half, shape[0] * shape[1]).mul_(0.1);
      tensors.emplace_back(name + half, values.to(at::kFloat).to(dtype).view(shape));
    }
  }
  return tensors;
}

TEST(GoldenLoraFile, hashes_of_larger_files_equal_the_reference) {
  const auto lists = test::golden_files("train", "lora_file", ".json");
  if (lists.empty()) GTEST_SKIP() << "no lora_file.json in " << test::golden_folder();
  for (const auto& list : lists) {
    const auto golden = test::read_golden_json(list);
    if (!golden.contains("formula_hashes")) continue;
    for (const auto& item : golden["formula_hashes"]["cases"]) {
      const std::string precision = item["precision"].get<std::string>();
      const auto tensors = formula_tensors(precision);
      EXPECT_EQ(model_hash(tensors), item["sshs_model_hash"].get<std::string>()) << precision;
      EXPECT_EQ(legacy_hash(tensors, item["metadata"].get<io::Metadata>()), item["sshs_legacy_hash"].get<std::string>())
          << precision;
    }
  }
}

std::string refusal(const io::NamedTensors& tensors) {
  const test::TempFolder folder;
  io::write_safetensors(folder / "x.safetensors", tensors);
  try {
    read_lora_file(folder / "x.safetensors");
  } catch (const FileError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(FormatLoraFile, malformed_modules_are_refused) {
  const std::string name = "lora_unet_joint_blocks_0_x_block_attn_qkv";
  const auto down = at::zeros({2, 8}), up = at::zeros({24, 2}), alpha = at::scalar_tensor(1.0);
  EXPECT_NE(refusal({{"weight", down}}).find("got none among 1 tensors"), std::string::npos);
  EXPECT_NE(refusal({{name + ".lora_down.weight", down}}).find("lora_up.weight: got no such"), std::string::npos);
  EXPECT_NE(
      refusal({{name + ".lora_down.weight", at::zeros({3, 8})}, {name + ".lora_up.weight", up}}).find("equal ranks"),
      std::string::npos);
  EXPECT_NE(refusal({{name + ".lora_down.weight", down}, {name + ".lora_up.weight", up}, {name + ".alpha", down}})
                .find("a scalar"),
            std::string::npos);
  EXPECT_NE(refusal({{name + ".lora_down.weight", at::zeros({2})}, {name + ".lora_up.weight", up}}).find("a matrix"),
            std::string::npos);
  EXPECT_EQ(refusal({{name + ".lora_down.weight", down}, {name + ".lora_up.weight", up}, {name + ".alpha", alpha}}),
            "accepted");
  EXPECT_NE(refusal({{name + ".lora_down.weight", at::zeros({0, 8})}, {name + ".lora_up.weight", at::zeros({24, 0})}})
                .find("rank 0"),
            std::string::npos);
  EXPECT_NE(refusal({{name + ".lora_down.weight", down.to(at::kInt)}, {name + ".lora_up.weight", up}}).find("I32"),
            std::string::npos);
  EXPECT_NE(refusal({{name + ".lora_down.weight", down},
                     {name + ".lora_up.weight", up},
                     {name + ".alpha", at::scalar_tensor(NAN)}})
                .find("finite"),
            std::string::npos);
}

TEST(FormatLoraFile, a_module_is_never_taken_in_part) {
  const std::string name = "lora_unet_joint_blocks_0_x_block_attn_qkv";
  for (const auto& [rest, reason] : {std::pair{".lora_mid.weight", "Tucker"},
                                     {".dora_scale", "DoRA"},
                                     {".diff_b", "bias"},
                                     {".scalar", "another part"}}) {
    const auto text = refusal({{name + ".lora_down.weight", at::zeros({2, 8})},
                               {name + ".lora_up.weight", at::zeros({24, 2})},
                               {name + rest, at::ones({24})}});
    EXPECT_NE(text.find(reason), std::string::npos) << text;
    EXPECT_NE(text.find(name + rest), std::string::npos) << text;
  }
}

TEST(lora_file, the_legacy_hash_counts_empty_metadata_as_python_writes_them) {
  const io::NamedTensors tensors{{"a", at::arange(400'000, at::kFloat)}};
  const test::TempFolder folder;
  // As safetensors.torch.save(tensors, {}) does: an empty member before the tensors.
  const std::string member = R"("a":{"dtype":"F32","shape":[400000],"data_offsets":[0,1600000]})";
  std::string json = R"({"__metadata__":{},)" + member + "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  const uint64_t length = json.size();
  std::string text(reinterpret_cast<const char*>(&length), sizeof length);
  text += json;
  text.append(static_cast<const char*>(tensors[0].second.const_data_ptr()), tensors[0].second.nbytes());
  Sha256 hash;
  hash.update(text.data() + 0x100000, 0x10000);
  EXPECT_EQ(legacy_hash(tensors, {{"modelspec.title", "x"}}), hash.hex().substr(0, 8));
}

TEST(lora_file, a_missing_alpha_counts_as_the_rank_and_foreign_tensors_are_listed) {
  const test::TempFolder folder;
  const std::string name = "lora_te1_text_model_encoder_layers_0_mlp_fc1";
  io::write_safetensors(folder / "x.safetensors", {{name + ".lora_down.weight", at::ones({2, 8})},
                                                   {name + ".lora_up.weight", at::ones({4, 2})},
                                                   {"lora_te1_text_model_final_layer_norm.w_norm", at::ones({4})}});
  const auto file = read_lora_file(folder / "x.safetensors");
  EXPECT_EQ(file.modules.at(name).alpha, 2);
  EXPECT_EQ(file.unknown_keys, std::vector<std::string>{"lora_te1_text_model_final_layer_norm.w_norm"});
  EXPECT_TRUE(file.modules.at(name).delta().equal(at::full({4, 8}, 2.0f)));
}

}  // namespace
}  // namespace loraptor::network
