#include "models/checkpoint_keys.h"

#include <algorithm>

#include "models/diffusers_keys.h"

namespace loraptor::models {
namespace {

using Names = std::vector<std::string>;

constexpr const char* kMmditPrefix = "model.diffusion_model.";
constexpr const char* kVaePrefix = "first_stage_model.";

/// The names below `prefix`, without it.
Names below(const Names& file_names, const std::string& prefix) {
  Names found;
  for (const auto& name : file_names) {
    if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
  }
  return found;
}

bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TensorNames direct(const Names& plain, const std::string& prefix) {
  TensorNames names;
  for (const auto& name : plain) {
    if (!is_scale(name)) names[name] = {{prefix + name}};
  }
  return names;
}

std::optional<TensorNames> find_mmdit(const Names& file_names) {
  for (const std::string prefix : {kMmditPrefix, ""}) {
    const Names plain = below(file_names, prefix);
    if (contains(plain, "x_embedder.proj.weight")) return direct(plain, prefix);
    if (contains(plain, "transformer_blocks.0.attn.to_q.weight")) return diffusers_mmdit_names(plain, prefix);
  }
  return std::nullopt;
}

std::optional<TensorNames> find_vae(const Names& file_names) {
  for (const std::string prefix : {kVaePrefix, ""}) {
    Names plain = below(file_names, prefix);
    if (!contains(plain, "encoder.conv_in.weight")) continue;
    // Without a prefix the VAE may share its file with the other parts.
    if (prefix.empty()) {
      std::erase_if(plain, [](const std::string& name) {
        return name.starts_with(kMmditPrefix) || name.starts_with("text_encoders.");
      });
    }
    return contains(plain, "encoder.mid_block.resnets.0.norm1.weight") ? diffusers_vae_names(plain, prefix)
                                                                       : direct(plain, prefix);
  }
  return std::nullopt;
}

/// A tensor that every file of the encoder has.
const char* encoder_mark(Part part) {
  return part == Part::t5xxl ? "encoder.block.0.layer.0.SelfAttention.k.weight"
                             : "text_model.embeddings.position_embedding.weight";
}

std::optional<TensorNames> find_encoder(Part part, const Names& file_names, bool embedded) {
  const std::string own = "text_encoders." + part_name(part) + ".";
  std::vector<std::string> prefixes{own + "transformer.", own};
  if (!embedded) prefixes.insert(prefixes.end(), {"transformer.", ""});
  for (const auto& prefix : prefixes) {
    const Names plain = below(file_names, prefix);
    if (!contains(plain, encoder_mark(part))) continue;
    TensorNames names = direct(plain, prefix);
    // T5's embedding has two names in the model; files hold either or both.
    const auto alias = names.find("encoder.embed_tokens.weight");
    if (alias != names.end()) {
      names.try_emplace("shared.weight", alias->second);
      names.erase("encoder.embed_tokens.weight");
    }
    return names;
  }
  return std::nullopt;
}

}  // namespace

bool is_scale(const std::string& name) {
  return name.ends_with(".scale_weight") || name.ends_with(".scale_input") || name == "scaled_fp8" ||
         name.ends_with(".scaled_fp8");
}

std::string part_name(Part part) {
  switch (part) {
    case Part::mmdit: return "mmdit";
    case Part::vae: return "vae";
    case Part::clip_l: return "clip_l";
    case Part::clip_g: return "clip_g";
    case Part::t5xxl: return "t5xxl";
  }
  return "";
}

std::optional<TensorNames> find_part(Part part, const std::vector<std::string>& file_names, bool embedded) {
  if (part == Part::mmdit) return find_mmdit(file_names);
  if (part == Part::vae) return find_vae(file_names);
  return find_encoder(part, file_names, embedded);
}

}  // namespace loraptor::models
