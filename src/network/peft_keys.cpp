#include "network/peft_keys.h"

#include <fmt/ranges.h>
#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "network/key_names.h"
#include "network/lora_file.h"
#include "network/peft_config.h"

namespace loraptor::network {
namespace {

enum class RowOrder {
  same,
  swap,
  swap_if_two
};  // swap_if_two: the last block's context side, [2D,r] for an input of D

/// '#' stands for a number; `peft` has one name, or three for q, k, v.
struct PeftRule {
  TargetModel model;
  std::string_view module;
  std::array<std::string_view, 3> peft;
  RowOrder order = RowOrder::same;
};

constexpr auto kMmdit = TargetModel::mmdit;
constexpr std::array kMmditRules{
    PeftRule{kMmdit,
             "joint_blocks_#_x_block_attn_qkv",
             {"transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k", "transformer_blocks.#.attn.to_v"}},
    PeftRule{kMmdit,
             "joint_blocks_#_context_block_attn_qkv",
             {"transformer_blocks.#.attn.add_q_proj", "transformer_blocks.#.attn.add_k_proj",
              "transformer_blocks.#.attn.add_v_proj"}},
    PeftRule{kMmdit,
             "joint_blocks_#_x_block_attn2_qkv",
             {"transformer_blocks.#.attn2.to_q", "transformer_blocks.#.attn2.to_k", "transformer_blocks.#.attn2.to_v"}},
    PeftRule{kMmdit, "joint_blocks_#_x_block_attn_proj", {"transformer_blocks.#.attn.to_out.0"}},
    PeftRule{kMmdit, "joint_blocks_#_context_block_attn_proj", {"transformer_blocks.#.attn.to_add_out"}},
    PeftRule{kMmdit, "joint_blocks_#_x_block_attn2_proj", {"transformer_blocks.#.attn2.to_out.0"}},
    PeftRule{kMmdit, "joint_blocks_#_x_block_mlp_fc1", {"transformer_blocks.#.ff.net.0.proj"}},
    PeftRule{kMmdit, "joint_blocks_#_x_block_mlp_fc2", {"transformer_blocks.#.ff.net.2"}},
    PeftRule{kMmdit, "joint_blocks_#_context_block_mlp_fc1", {"transformer_blocks.#.ff_context.net.0.proj"}},
    PeftRule{kMmdit, "joint_blocks_#_context_block_mlp_fc2", {"transformer_blocks.#.ff_context.net.2"}},
    PeftRule{kMmdit, "joint_blocks_#_x_block_adaLN_modulation_1", {"transformer_blocks.#.norm1.linear"}},
    PeftRule{kMmdit,
             "joint_blocks_#_context_block_adaLN_modulation_1",
             {"transformer_blocks.#.norm1_context.linear"},
             RowOrder::swap_if_two},
    PeftRule{kMmdit, "context_embedder", {"context_embedder"}},
    PeftRule{kMmdit, "t_embedder_mlp_0", {"time_text_embed.timestep_embedder.linear_1"}},
    PeftRule{kMmdit, "t_embedder_mlp_2", {"time_text_embed.timestep_embedder.linear_2"}},
    PeftRule{kMmdit, "y_embedder_mlp_0", {"time_text_embed.text_embedder.linear_1"}},
    PeftRule{kMmdit, "y_embedder_mlp_2", {"time_text_embed.text_embedder.linear_2"}},
    PeftRule{kMmdit, "x_embedder_proj", {"pos_embed.proj"}},
    PeftRule{kMmdit, "final_layer_adaLN_modulation_1", {"norm_out.linear"}, RowOrder::swap},
    PeftRule{kMmdit, "final_layer_linear", {"proj_out"}},
};

/// Layers that both sides name alike, except for '.' and '_'.
constexpr std::array<std::string_view, 6> kClipLayers{
    "text_model.encoder.layers.#.self_attn.q_proj", "text_model.encoder.layers.#.self_attn.k_proj",
    "text_model.encoder.layers.#.self_attn.v_proj", "text_model.encoder.layers.#.self_attn.out_proj",
    "text_model.encoder.layers.#.mlp.fc1",          "text_model.encoder.layers.#.mlp.fc2"};
constexpr std::array<std::string_view, 7> kT5Layers{
    "encoder.block.#.layer.0.SelfAttention.q",     "encoder.block.#.layer.0.SelfAttention.k",
    "encoder.block.#.layer.0.SelfAttention.v",     "encoder.block.#.layer.0.SelfAttention.o",
    "encoder.block.#.layer.1.DenseReluDense.wi_0", "encoder.block.#.layer.1.DenseReluDense.wi_1",
    "encoder.block.#.layer.1.DenseReluDense.wo"};

constexpr std::string_view kDownHalf = ".lora_A.weight", kUpHalf = ".lora_B.weight";

/// One line of the full table, prefixes included.
struct FullRule {
  std::string module;
  std::vector<std::string> peft;
  RowOrder order;
};

std::string peft_prefix(TargetModel model) {
  switch (model) {
    case TargetModel::clip_l: return "text_encoder.";
    case TargetModel::clip_g: return "text_encoder_2.";
    case TargetModel::t5: return "text_encoder_3.";
    case TargetModel::mmdit: return "transformer.";
  }
  return "";
}

std::vector<FullRule> make_rules() {
  std::vector<FullRule> rules;
  const auto add = [&](TargetModel model, std::string_view module, const std::array<std::string_view, 3>& peft,
                       RowOrder order) {
    FullRule rule{module_name(model, module), {}, order};
    for (const auto name : peft) {
      if (!name.empty()) rule.peft.push_back(peft_prefix(model) + std::string(name));
    }
    rules.push_back(std::move(rule));
  };
  for (const auto& rule : kMmditRules) add(rule.model, rule.module, rule.peft, rule.order);
  for (const auto model : {TargetModel::clip_l, TargetModel::clip_g}) {
    for (const auto layer : kClipLayers) add(model, layer, {layer}, RowOrder::same);
  }
  for (const auto layer : kT5Layers) add(TargetModel::t5, layer, {layer}, RowOrder::same);
  return rules;
}

const std::vector<FullRule>& rules() {
  static const std::vector<FullRule> table = make_rules();
  return table;
}

/// The digits that '#' stands for ("" if the pattern has none), or nullopt if the name does not fit.
std::optional<std::string> match(const std::string& pattern, const std::string& name) {
  const size_t hash = pattern.find('#');
  if (hash == std::string::npos) return pattern == name ? std::optional<std::string>("") : std::nullopt;
  const std::string_view head = std::string_view(pattern).substr(0, hash);
  const std::string_view tail = std::string_view(pattern).substr(hash + 1);
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail)) return std::nullopt;
  std::string digits = name.substr(head.size(), name.size() - head.size() - tail.size());
  const bool numeric = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  return numeric ? std::optional(std::move(digits)) : std::nullopt;
}

std::string fill(std::string pattern, const std::string& digits) {
  if (const size_t hash = pattern.find('#'); hash != std::string::npos) pattern.replace(hash, 1, digits);
  return pattern;
}

/// up [out,r]: exchanges its row halves where the rule says so.
at::Tensor order_rows(const at::Tensor& up, RowOrder order, int64_t in) {
  const bool swap = order == RowOrder::swap || (order == RowOrder::swap_if_two && up.size(0) == 2 * in);
  return swap ? at::roll(up, up.size(0) / 2, 0) : up;
}

struct Halves {
  at::Tensor down, up;
  std::string layer = {};            // its name for PEFT
  std::optional<double> alpha = {};  // of the file
  double strength = 1;               // of the product
};

/// q, k, v pairs (undefined where the file has none) as one pair.
Halves join_parts(const std::vector<Halves>& parts) {
  std::vector<at::Tensor> downs, ups;
  const auto is_there = [](const Halves& part) { return part.down.defined(); };
  const auto& first = *std::find_if(parts.begin(), parts.end(), is_there);
  const bool shared = std::all_of(parts.begin(), parts.end(),
                                  [&](const auto& part) { return is_there(part) && part.down.equal(first.down); });
  for (const auto& part : parts) ups.push_back(part.up);
  if (shared) return {first.down, at::cat(ups, 0)};
  int64_t rank = 0;
  for (const auto& part : parts) rank += is_there(part) ? part.down.size(0) : 0;
  const int64_t rows = first.up.size(0);
  auto up = at::zeros({rows * static_cast<int64_t>(parts.size()), rank}, first.up.options());
  int64_t column = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!is_there(parts[i])) continue;
    const int64_t width = parts[i].down.size(0);
    up.narrow(0, static_cast<int64_t>(i) * rows, rows).narrow(1, column, width).copy_(parts[i].up);
    downs.push_back(parts[i].down);
    column += width;
  }
  return {at::cat(downs, 0), up};
}

void check_parts(const std::vector<Halves>& parts, const std::string& module, const std::filesystem::path& path) {
  const Halves* first = nullptr;
  for (const auto& part : parts) {
    if (part.down.defined() != part.up.defined()) {
      throw FileError(path, fmt::format("{}: got one of lora_A and lora_B, expected both.", module));
    }
    if (!part.down.defined()) continue;
    if (first == nullptr) first = &part;
    const bool fits = part.down.dim() >= 2 && part.up.dim() >= 2 && part.up.size(1) == part.down.size(0) &&
                      part.down.size(0) > 0 && part.down.is_floating_point() && part.up.is_floating_point() &&
                      part.down.sizes().slice(1) == first->down.sizes().slice(1) &&
                      part.up.size(0) == first->up.size(0);
    if (!fits) {
      throw FileError(path, fmt::format("{}: got lora_A [{}] and lora_B [{}], expected floats of shapes that fit "
                                        "together.",
                                        module, fmt::join(part.down.sizes(), ","), fmt::join(part.up.sizes(), ",")));
    }
  }
}

/// The module a PEFT name belongs to.
struct PeftPlace {
  const FullRule* rule;
  std::string digits;
  size_t part;
};

std::optional<PeftPlace> find_place(const std::string& name) {
  for (const auto& rule : rules()) {
    for (size_t part = 0; part < rule.peft.size(); ++part) {
      if (auto digits = match(rule.peft[part], name)) return PeftPlace{&rule, *digits, part};
    }
  }
  return std::nullopt;
}

struct Gathered {
  const FullRule* rule;
  std::vector<Halves> parts;
};

/// A name cut into a layer that has a place and what follows ("lora_A.weight", "alpha", "lora_B.bias" …).
struct PeftKey {
  std::string layer, rest;
  std::optional<PeftPlace> place;  // none: no layer of SD3

  std::string module() const { return fill(place->rule->module, place->digits); }
};

PeftKey split_peft_key(const std::string& key) {
  for (size_t dot = key.rfind('.'); dot != std::string::npos && dot > 0; dot = key.rfind('.', dot - 1)) {
    if (auto place = find_place(key.substr(0, dot))) return {key.substr(0, dot), key.substr(dot + 1), std::move(place)};
  }
  return {};
}

double strength_of(const Halves& part, const PeftConfigs& configs) {
  const int64_t rank = part.down.size(0);
  if (part.alpha) return *part.alpha / static_cast<double>(rank);
  const size_t dot = part.layer.find('.');
  const auto config = configs.find(part.layer.substr(0, dot));
  return config == configs.end() ? 1 : config->second.strength(part.layer.substr(dot + 1), rank);
}

/// The common strength of the parts that are there; where they differ, 1 with each folded into its lora_B.
double take_strength(std::vector<Halves>& parts, const PeftConfigs& configs) {
  std::vector<Halves*> there;
  for (auto& part : parts) {
    if (!part.down.defined()) continue;
    part.strength = strength_of(part, configs);
    there.push_back(&part);
  }
  const double strength = there.front()->strength;
  if (std::all_of(there.begin(), there.end(), [&](const auto* part) { return part->strength == strength; })) {
    return strength;
  }
  for (auto* part : there) part->up = part->up.to(at::kFloat) * part->strength;
  return 1;
}

/// Cuts a native module into its PEFT pairs and appends them.
void append_peft(io::NamedTensors& out, const std::string& module, const LoraPair& pair, double scale,
                 const std::filesystem::path& path) {
  for (const auto& rule : rules()) {
    const auto digits = match(rule.module, module);
    if (!digits) continue;
    const auto count = static_cast<int64_t>(rule.peft.size());
    const auto up = order_rows(pair.up.to(at::kFloat).mul(scale), rule.order, pair.down.size(1));
    if (up.size(0) % count != 0) {
      throw FileError(path, fmt::format("{}: got {} rows in lora_up, expected a multiple of 3.", module, up.size(0)));
    }
    const int64_t rows = up.size(0) / count;
    for (int64_t i = 0; i < count; ++i) {
      const std::string name = fill(rule.peft[static_cast<size_t>(i)], *digits);
      out.emplace_back(name + std::string(kDownHalf), pair.down.to(at::kFloat));
      out.emplace_back(name + std::string(kUpHalf), up.narrow(0, i * rows, rows).contiguous());
    }
    return;
  }
  throw FileError(path,
                  fmt::format("{}: got a module that diffusers has no name for, expected a layer of SD3.", module));
}

}  // namespace

bool has_peft_names(const io::NamedTensors& tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const auto& item) { return item.first.ends_with(kDownHalf); });
}

io::NamedTensors to_peft(const io::NamedTensors& tensors, double multiplier, const std::filesystem::path& path) {
  for (const auto& [key, tensor] : tensors) {
    const auto suffix = split_key(key).suffix;
    if (suffix == kDownKey || suffix == kUpKey || suffix == kAlphaKey) continue;
    throw FileError(path, fmt::format("{}: got a tensor that PEFT has no name for, expected a LoRA pair.", key));
  }
  const LoraFile file = native_modules(tensors, path);
  if (!file.unknown_keys.empty()) {
    throw FileError(path, fmt::format("{}: got a tensor of no module, expected layers of SD3 with lora_down and "
                                      "lora_up.",
                                      file.unknown_keys.front()));
  }
  io::NamedTensors out;
  for (const auto& [module, pair] : file.modules) append_peft(out, module, pair, multiplier * pair.scale(), path);
  return out;
}

io::NamedTensors from_peft(const io::NamedTensors& tensors, const std::filesystem::path& path,
                           const io::Metadata& metadata) {
  std::map<std::string, Gathered> modules;
  std::vector<std::pair<PeftKey, const std::pair<std::string, at::Tensor>*>> beside;  // no halves of pairs
  bool is_raw = false;
  for (const auto& item : tensors) {
    const bool has_prefix = item.first.starts_with(kPeftPrefix);
    is_raw |= has_prefix;
    auto key = split_peft_key(has_prefix ? "transformer." + item.first.substr(kPeftPrefix.size()) : item.first);
    const bool is_down = key.rest == kDownHalf.substr(1), is_up = key.rest == kUpHalf.substr(1);
    if (!is_down && !is_up) {
      beside.emplace_back(std::move(key), &item);
      continue;
    }
    auto& gathered = modules[key.module()];
    gathered.rule = key.place->rule;
    gathered.parts.resize(key.place->rule->peft.size());
    Halves& part = gathered.parts[key.place->part];
    (is_down ? part.down : part.up) = item.second;
    part.layer = key.layer;
  }
  for (const auto& [module, gathered] : modules) check_parts(gathered.parts, module, path);
  io::NamedTensors out;
  for (const auto& [key, item] : beside) {
    const auto found = key.place ? modules.find(key.module()) : modules.end();
    if (found == modules.end()) {
      out.push_back(*item);
    } else if (key.rest == "alpha") {
      found->second.parts[key.place->part].alpha = alpha_value(item->second, item->first, path);
    } else {
      throw foreign_part(path, item->first);
    }
  }
  const auto configs = is_raw ? read_adapter_config(path) : adapter_configs(metadata, path);
  for (auto& [module, gathered] : modules) {
    const double strength = take_strength(gathered.parts, configs);
    const auto pair = join_parts(gathered.parts);
    const double alpha = strength * static_cast<double>(pair.down.size(0));
    out.emplace_back(module + std::string(kAlphaKey), at::scalar_tensor(alpha, at::kFloat));
    out.emplace_back(module + std::string(kDownKey), pair.down);
    out.emplace_back(module + std::string(kUpKey), order_rows(pair.up, gathered.rule->order, pair.down.size(1)));
  }
  return out;
}

}  // namespace loraptor::network
