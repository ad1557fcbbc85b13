#include "models/diffusers_keys.h"

#include <fmt/format.h>

#include <regex>
#include <unordered_set>

namespace loraptor::models {
namespace {

struct Rename {
  std::regex pattern;
  std::string replacement;
};

/// Applied one after the other to each VAE name.
const std::vector<Rename>& vae_renames() {
  static const std::vector<Rename> renames = [] {
    const std::pair<const char*, const char*> rows[] = {
        {R"(\.down_blocks\.(\d+)\.resnets\.)", ".down.$1.block."},
        {R"(\.down_blocks\.(\d+)\.downsamplers\.0\.)", ".down.$1.downsample."},
        {R"(\.up_blocks\.0\.)", ".up.3."},
        {R"(\.up_blocks\.1\.)", ".up.2."},
        {R"(\.up_blocks\.2\.)", ".up.1."},
        {R"(\.up_blocks\.3\.)", ".up.0."},
        {R"(\.up\.(\d+)\.resnets\.)", ".up.$1.block."},
        {R"(\.up\.(\d+)\.upsamplers\.0\.)", ".up.$1.upsample."},
        {R"(\.conv_shortcut\.)", ".nin_shortcut."},
        {R"(\.mid_block\.resnets\.0\.)", ".mid.block_1."},
        {R"(\.mid_block\.resnets\.1\.)", ".mid.block_2."},
        {R"(\.mid_block\.attentions\.0\.)", ".mid.attn_1."},
        {R"(\.attn_1\.group_norm\.)", ".attn_1.norm."},
        {R"(\.attn_1\.(?:to_q|query)\.)", ".attn_1.q."},
        {R"(\.attn_1\.(?:to_k|key)\.)", ".attn_1.k."},
        {R"(\.attn_1\.(?:to_v|value)\.)", ".attn_1.v."},
        {R"(\.attn_1\.(?:to_out\.0|proj_attn)\.)", ".attn_1.proj_out."},
        {R"(\.conv_norm_out\.)", ".norm_out."},
    };
    std::vector<Rename> list;
    for (const auto& [pattern, replacement] : rows) list.push_back({std::regex(pattern), replacement});
    return list;
  }();
  return renames;
}

/// One layer of the MMDiT: its original name and diffusers' names; {i} stands for the number of the block.
struct LayerRow {
  const char* plain;
  std::vector<const char*> pieces;
  enum { same, swapped, swapped_in_last_block } halves = same;
};

const std::vector<LayerRow>& block_rows() {
  static const std::vector<LayerRow> rows = {
      {"x_block.attn.qkv", {"attn.to_q", "attn.to_k", "attn.to_v"}},
      {"context_block.attn.qkv", {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}},
      {"x_block.attn.proj", {"attn.to_out.0"}},
      {"context_block.attn.proj", {"attn.to_add_out"}},
      {"x_block.attn2.qkv", {"attn2.to_q", "attn2.to_k", "attn2.to_v"}},
      {"x_block.attn2.proj", {"attn2.to_out.0"}},
      {"x_block.attn.ln_q", {"attn.norm_q"}},
      {"x_block.attn.ln_k", {"attn.norm_k"}},
      {"context_block.attn.ln_q", {"attn.norm_added_q"}},
      {"context_block.attn.ln_k", {"attn.norm_added_k"}},
      {"x_block.attn2.ln_q", {"attn2.norm_q"}},
      {"x_block.attn2.ln_k", {"attn2.norm_k"}},
      {"x_block.mlp.fc1", {"ff.net.0.proj"}},
      {"x_block.mlp.fc2", {"ff.net.2"}},
      {"context_block.mlp.fc1", {"ff_context.net.0.proj"}},
      {"context_block.mlp.fc2", {"ff_context.net.2"}},
      {"x_block.adaLN_modulation.1", {"norm1.linear"}},
      {"context_block.adaLN_modulation.1", {"norm1_context.linear"}, LayerRow::swapped_in_last_block},
  };
  return rows;
}

const std::vector<LayerRow>& outer_rows() {
  static const std::vector<LayerRow> rows = {
      {"context_embedder", {"context_embedder"}},
      {"t_embedder.mlp.0", {"time_text_embed.timestep_embedder.linear_1"}},
      {"t_embedder.mlp.2", {"time_text_embed.timestep_embedder.linear_2"}},
      {"y_embedder.mlp.0", {"time_text_embed.text_embedder.linear_1"}},
      {"y_embedder.mlp.2", {"time_text_embed.text_embedder.linear_2"}},
      {"x_embedder.proj", {"pos_embed.proj"}},
      {"final_layer.adaLN_modulation.1", {"norm_out.linear"}, LayerRow::swapped},
      {"final_layer.linear", {"proj_out"}},
  };
  return rows;
}

}  // namespace

TensorNames diffusers_vae_names(const std::vector<std::string>& names, const std::string& prefix) {
  TensorNames found;
  for (const auto& name : names) {
    std::string plain = name;
    for (const auto& rename : vae_renames()) plain = std::regex_replace(plain, rename.pattern, rename.replacement);
    static const std::regex projection(R"(.*\.attn_1\.(q|k|v|proj_out)\.weight)");
    found[plain] = {{prefix + name}, false, std::regex_match(plain, projection)};
  }
  return found;
}

TensorNames diffusers_mmdit_names(const std::vector<std::string>& names, const std::string& prefix) {
  const std::unordered_set<std::string> present(names.begin(), names.end());
  TensorNames found;
  const auto add = [&](const LayerRow& row, const std::string& ours, const std::string& theirs, bool last_block) {
    for (const std::string suffix : {".weight", ".bias"}) {
      TensorSource source;
      for (const char* piece : row.pieces) {
        const std::string name = theirs + piece + suffix;
        if (present.count(name) != 0) source.pieces.push_back(prefix + name);
      }
      if (source.pieces.size() != row.pieces.size()) continue;
      source.swap_halves =
          row.halves == LayerRow::swapped || (row.halves == LayerRow::swapped_in_last_block && last_block);
      found[ours + row.plain + suffix] = source;
    }
  };
  int blocks = 0;
  while (present.count(fmt::format("transformer_blocks.{}.attn.to_q.weight", blocks)) != 0) ++blocks;
  for (int i = 0; i < blocks; ++i) {
    for (const auto& row : block_rows()) {
      add(row, fmt::format("joint_blocks.{}.", i), fmt::format("transformer_blocks.{}.", i), i == blocks - 1);
    }
  }
  for (const auto& row : outer_rows()) add(row, "", "", false);
  if (present.count("pos_embed.pos_embed") != 0) found["pos_embed"] = {{prefix + "pos_embed.pos_embed"}};
  return found;
}

}  // namespace loraptor::models
