#include "network/lora_report.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "network/key_names.h"
#include "network/lora_concat.h"
#include "network/lora_formats.h"
#include "network/low_rank.h"
#include "tensor/dtype.h"

namespace loraptor::network {
namespace {

using nlohmann::ordered_json;

const char* part_of(TargetModel model) {
  switch (model) {
    case TargetModel::clip_l: return "clip_l";
    case TargetModel::clip_g: return "clip_g";
    case TargetModel::t5: return "t5xxl";
    case TargetModel::mmdit: return "mmdit";
  }
  return "";
}

/// A module's name cut into the number of its block (-1: none) and the kind of its layer.
struct LayerName {
  int64_t block = -1;
  std::string kind;
};

LayerName layer_name(TargetModel model, const std::string& module) {
  std::string rest = module.substr(module_prefix(model).size() + 1);
  for (const std::string_view head : {"joint_blocks_", "text_model_encoder_layers_", "encoder_block_"}) {
    if (!rest.starts_with(head)) continue;
    rest = rest.substr(head.size());
    LayerName name;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), name.block);
    const auto digits = static_cast<size_t>(end - rest.data());
    if (error != std::errc()) return {-1, rest};
    name.kind = rest.substr(std::min(digits + 1, rest.size()));
    return name;
  }
  return {-1, rest};
}

/// What is told of one module.
struct ModuleFacts {
  std::string algo;  // "lora", "loha", "lokr", with " + dora"
  int64_t rank = 0, in = 0, out = 0;
  double alpha = 0, norm = 0;
};
using Modules = std::map<std::string, ModuleFacts>;

ModuleFacts facts_of(const LoraPair& pair) {
  return {.algo = "lora",
          .rank = pair.rank(),
          .in = pair.down.numel() / pair.down.size(0),
          .out = pair.up.size(0),
          .alpha = pair.alpha,
          .norm = std::abs(pair.scale()) * product_norm(pair.up, pair.down)};
}

ModuleFacts facts_of(const FactorSet& set) {
  Factors wide;
  for (const auto& [key, value] : set.factors) wide[key] = value.to(at::kFloat);
  const auto [out, in] = layer_shape(wide);
  const int64_t rank = rank_of(wide);
  return {.algo = std::string(algo_name(wide)) + (set.is_dora() ? " + dora" : ""),
          .rank = rank,
          .in = in,
          .out = out,
          .alpha = set.alpha.value_or(static_cast<double>(rank)),
          .norm = std::abs(set.strength()) * delta_norm(wide)};
}

/// All modules of one kind.
struct Kind {
  int64_t modules = 0;
  std::set<int64_t> ranks;
  std::set<double> alphas;
  std::set<std::string> shapes;
  double norm_sum = 0, norm_max = 0;

  void add(const ModuleFacts& module) {
    ++modules;
    ranks.insert(module.rank);
    alphas.insert(module.alpha);
    shapes.insert(fmt::format("{} -> {}", module.in, module.out));
    norm_sum += module.norm;
    norm_max = std::max(norm_max, module.norm);
  }

  ordered_json json(const std::string& name) const {
    return {{"kind", name},        {"modules", modules}, {"ranks", ranks},
            {"alphas", alphas},    {"shapes", shapes},   {"norm_mean", norm_sum / static_cast<double>(modules)},
            {"norm_max", norm_max}};
  }
};

ordered_json part_json(const Modules& file, TargetModel model) {
  std::map<std::string, Kind> kinds;
  std::set<int64_t> blocks;
  int64_t modules = 0;
  for (const auto& [name, module] : file) {
    if (model_of_module(name) != model) continue;
    const auto [block, kind] = layer_name(model, name);
    if (block >= 0) blocks.insert(block);
    kinds[kind].add(module);
    ++modules;
  }
  if (modules == 0) return nullptr;
  ordered_json part{
      {"part", part_of(model)}, {"modules", modules}, {"blocks", blocks}, {"kinds", ordered_json::array()}};
  for (const auto& [name, kind] : kinds) part["kinds"].push_back(kind.json(name));
  return part;
}

/// A published model, in what shows in the shapes of its LoRA modules.
struct PublishedModel {
  const char* name;
  int64_t width, depth, dual_blocks;
};
constexpr PublishedModel kPublished[] = {
    {"SD3 Medium", 1536, 24, 0}, {"SD3.5 Medium", 1536, 24, 13}, {"SD3.5 Large", 2432, 38, 0}};

/// Whether a block's module has the shape it would have in the model.
bool fits(const PublishedModel& model, const std::string& name, const ModuleFacts& module) {
  const auto [block, kind] = layer_name(TargetModel::mmdit, name);
  if (block < 0) return true;  // embedders and the last layer: their input does not tell
  const bool is_dual = block < model.dual_blocks;
  if (block >= model.depth) return false;
  if (kind.find("attn2") != std::string::npos && !is_dual) return false;
  if (kind == "x_block_adaLN_modulation_1" && module.out != (is_dual ? 9 : 6) * model.width) return false;
  return module.in == (kind.ends_with("mlp_fc2") ? 4 * model.width : model.width);
}

ordered_json base_model(const Modules& modules, const io::Metadata& metadata) {
  ordered_json names = ordered_json::array();
  bool has_mmdit = false;
  for (const auto& model : kPublished) {
    bool all = true;
    for (const auto& [name, module] : modules) {
      if (model_of_module(name) != TargetModel::mmdit) continue;
      has_mmdit = true;
      all = all && fits(model, name, module);
    }
    if (all && has_mmdit) names.push_back(model.name);
  }
  const auto said = metadata.find("ss_base_model_version");
  return {{"by_shape", names},
          {"by_metadata", said == metadata.end() ? ordered_json(nullptr) : ordered_json(said->second)}};
}

ordered_json hash_json(const io::Metadata& metadata, const char* key, const std::string& computed) {
  const auto stored = metadata.find(key);
  if (stored == metadata.end()) return {{"stored", nullptr}, {"computed", computed}, {"match", nullptr}};
  return {{"stored", stored->second}, {"computed", computed}, {"match", stored->second == computed}};
}

io::NamedTensors all_tensors(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  io::NamedTensors tensors;
  for (const auto& name : file->names()) tensors.emplace_back(name, file->tensor(name));
  return tensors;
}

Modules facts_of(const WeightedLora& lora) {
  Modules modules;
  for (const auto& [name, pair] : lora.file.modules) modules[name] = facts_of(pair);
  for (const auto& [name, set] : lora.factors) modules[name] = facts_of(set);
  return modules;
}

}  // namespace

bool is_lora(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.ends_with(".lora_A.weight") || model_of_module(split_key(name).module).has_value();
  });
}

ordered_json lora_report(const std::filesystem::path& path) {
  const auto tensors = all_tensors(path);
  const LoraFormat format = detect_format(tensors, path);
  const WeightedLora lora = read_any_lora(path);
  const LoraFile& file = lora.file;
  const Modules modules = facts_of(lora);
  int64_t parameters = 0;
  std::map<std::string, int64_t> dtypes, algorithms;
  for (const auto& [name, module] : modules) ++algorithms[module.algo];
  for (const auto& [name, tensor] : tensors) {
    ++dtypes[std::string(tensor::safetensors_name(tensor.scalar_type()))];
    if (!name.ends_with(kAlphaKey)) parameters += tensor.numel();
  }
  ordered_json report{{"file", path.string()},
                      {"type", "lora"},
                      {"format", format_name(format)},
                      {"bytes", std::filesystem::file_size(path)},
                      {"modules", modules.size()},
                      {"algorithms", algorithms},
                      {"parameters", parameters},
                      {"dtypes", dtypes},
                      {"base_model", base_model(modules, file.metadata)},
                      {"parts", ordered_json::array()},
                      {"unknown", file.unknown_keys}};
  for (const auto model : {TargetModel::mmdit, TargetModel::clip_l, TargetModel::clip_g, TargetModel::t5}) {
    if (auto part = part_json(modules, model); !part.is_null()) report["parts"].push_back(std::move(part));
  }
  report["hashes"] = {
      {"sshs_model_hash", hash_json(file.metadata, "sshs_model_hash", model_hash(tensors))},
      {"sshs_legacy_hash", hash_json(file.metadata, "sshs_legacy_hash", legacy_hash(tensors, file.metadata))}};
  report["metadata"] = file.metadata;
  return report;
}

}  // namespace loraptor::network
