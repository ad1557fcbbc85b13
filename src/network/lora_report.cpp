#include "network/lora_report.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "network/key_names.h"
#include "network/lora_file.h"
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

/// All modules of one kind.
struct Kind {
  int64_t modules = 0;
  std::set<int64_t> ranks;
  std::set<double> alphas;
  std::set<std::string> shapes;
  double norm_sum = 0, norm_max = 0;

  void add(const LoraPair& pair) {
    ++modules;
    ranks.insert(pair.rank());
    alphas.insert(pair.alpha);
    shapes.insert(fmt::format("{} -> {}", pair.down.numel() / pair.down.size(0), pair.up.size(0)));
    const double norm = std::abs(pair.scale()) * product_norm(pair.up, pair.down);
    norm_sum += norm;
    norm_max = std::max(norm_max, norm);
  }

  ordered_json json(const std::string& name) const {
    return {{"kind", name},        {"modules", modules}, {"ranks", ranks},
            {"alphas", alphas},    {"shapes", shapes},   {"norm_mean", norm_sum / static_cast<double>(modules)},
            {"norm_max", norm_max}};
  }
};

ordered_json part_json(const LoraFile& file, TargetModel model) {
  std::map<std::string, Kind> kinds;
  std::set<int64_t> blocks;
  int64_t modules = 0;
  for (const auto& [name, pair] : file.modules) {
    if (model_of_module(name) != model) continue;
    const auto [block, kind] = layer_name(model, name);
    if (block >= 0) blocks.insert(block);
    kinds[kind].add(pair);
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
bool fits(const PublishedModel& model, const std::string& name, const LoraPair& pair) {
  const auto [block, kind] = layer_name(TargetModel::mmdit, name);
  if (block < 0) return true;  // embedders and the last layer: their input does not tell
  const int64_t in = pair.down.numel() / pair.down.size(0), out = pair.up.size(0);
  const bool is_dual = block < model.dual_blocks;
  if (block >= model.depth) return false;
  if (kind.find("attn2") != std::string::npos && !is_dual) return false;
  if (kind == "x_block_adaLN_modulation_1" && out != (is_dual ? 9 : 6) * model.width) return false;
  return in == (kind.ends_with("mlp_fc2") ? 4 * model.width : model.width);
}

ordered_json base_model(const LoraFile& file) {
  ordered_json names = ordered_json::array();
  bool has_mmdit = false;
  for (const auto& model : kPublished) {
    bool all = true;
    for (const auto& [name, pair] : file.modules) {
      if (model_of_module(name) != TargetModel::mmdit) continue;
      has_mmdit = true;
      all = all && fits(model, name, pair);
    }
    if (all && has_mmdit) names.push_back(model.name);
  }
  const auto said = file.metadata.find("ss_base_model_version");
  return {{"by_shape", names},
          {"by_metadata", said == file.metadata.end() ? ordered_json(nullptr) : ordered_json(said->second)}};
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

/// The file as modules; PEFT files, which read_lora_file does not know, by way of a conversion.
LoraFile as_lora_file(const std::filesystem::path& path, const io::NamedTensors& tensors, LoraFormat format) {
  if (format != LoraFormat::peft) return read_lora_file(path);
  LoraFile file;
  file.path = path;
  for (const auto& [name, tensor] : convert_format(tensors, LoraFormat::kohya, path)) {
    const auto [module, suffix] = split_key(name);
    if (suffix == kDownKey) file.modules[module].down = tensor;
    if (suffix == kUpKey) file.modules[module].up = tensor;
    if (suffix == kAlphaKey) file.modules[module].alpha = tensor.item<double>();
  }
  return file;
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
  const LoraFile file = as_lora_file(path, tensors, format);
  int64_t parameters = 0;
  std::map<std::string, int64_t> dtypes;
  for (const auto& [name, tensor] : tensors) {
    ++dtypes[std::string(tensor::safetensors_name(tensor.scalar_type()))];
    if (!name.ends_with(kAlphaKey)) parameters += tensor.numel();
  }
  ordered_json report{{"file", path.string()},
                      {"type", "lora"},
                      {"format", format_name(format)},
                      {"bytes", std::filesystem::file_size(path)},
                      {"modules", file.modules.size()},
                      {"parameters", parameters},
                      {"dtypes", dtypes},
                      {"base_model", base_model(file)},
                      {"parts", ordered_json::array()},
                      {"unknown", file.unknown_keys}};
  for (const auto model : {TargetModel::mmdit, TargetModel::clip_l, TargetModel::clip_g, TargetModel::t5}) {
    if (auto part = part_json(file, model); !part.is_null()) report["parts"].push_back(std::move(part));
  }
  report["hashes"] = {
      {"sshs_model_hash", hash_json(file.metadata, "sshs_model_hash", model_hash(tensors))},
      {"sshs_legacy_hash", hash_json(file.metadata, "sshs_legacy_hash", legacy_hash(tensors, file.metadata))}};
  report["metadata"] = file.metadata;
  return report;
}

}  // namespace loraptor::network
