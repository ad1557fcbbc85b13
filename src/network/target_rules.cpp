#include "network/target_rules.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "network/key_names.h"
#include "network/model_rates.h"

namespace loraptor::network {
namespace {

enum class LayerFamily { clip, t5, block, embedding };

/// Where a layer sits; '#' in the pattern stands for the number of its block.
struct LayerRule {
  LayerFamily family;
  std::string_view pattern;
  size_t kind = 0;  // block: BlockLayerKind; embedding: index into emb_dims
};

constexpr size_t kind_of(BlockLayerKind kind) { return static_cast<size_t>(kind); }

/// In creation order; blocks are walked as a whole, one after the other.
constexpr std::array kRules{
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.self_attn.k_proj"},
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.self_attn.v_proj"},
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.self_attn.q_proj"},
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.self_attn.out_proj"},
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.mlp.fc1"},
    LayerRule{LayerFamily::clip, "text_model.encoder.layers.#.mlp.fc2"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.0.SelfAttention.q"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.0.SelfAttention.k"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.0.SelfAttention.v"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.0.SelfAttention.o"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.1.DenseReluDense.wi_0"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.1.DenseReluDense.wi_1"},
    LayerRule{LayerFamily::t5, "encoder.block.#.layer.1.DenseReluDense.wo"},
    LayerRule{LayerFamily::block, "joint_blocks.#.context_block.attn.qkv", kind_of(BlockLayerKind::context_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.context_block.attn.proj", kind_of(BlockLayerKind::context_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.context_block.mlp.fc1", kind_of(BlockLayerKind::context_mlp)},
    LayerRule{LayerFamily::block, "joint_blocks.#.context_block.mlp.fc2", kind_of(BlockLayerKind::context_mlp)},
    LayerRule{LayerFamily::block, "joint_blocks.#.context_block.adaLN_modulation.1",
              kind_of(BlockLayerKind::context_mod)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.attn.qkv", kind_of(BlockLayerKind::x_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.attn.proj", kind_of(BlockLayerKind::x_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.attn2.qkv", kind_of(BlockLayerKind::x_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.attn2.proj", kind_of(BlockLayerKind::x_attn)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.mlp.fc1", kind_of(BlockLayerKind::x_mlp)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.mlp.fc2", kind_of(BlockLayerKind::x_mlp)},
    LayerRule{LayerFamily::block, "joint_blocks.#.x_block.adaLN_modulation.1", kind_of(BlockLayerKind::x_mod)},
    LayerRule{LayerFamily::embedding, "context_embedder", 0},
    LayerRule{LayerFamily::embedding, "t_embedder.mlp.0", 1},
    LayerRule{LayerFamily::embedding, "t_embedder.mlp.2", 1},
    LayerRule{LayerFamily::embedding, "x_embedder.proj", 2},
    LayerRule{LayerFamily::embedding, "y_embedder.mlp.0", 3},
    LayerRule{LayerFamily::embedding, "y_embedder.mlp.2", 3},
    LayerRule{LayerFamily::embedding, "final_layer.adaLN_modulation.1", 4},
    LayerRule{LayerFamily::embedding, "final_layer.linear", 5},
};

bool belongs_to(LayerFamily family, TargetModel model) {
  switch (model) {
    case TargetModel::clip_l:
    case TargetModel::clip_g: return family == LayerFamily::clip;
    case TargetModel::t5: return family == LayerFamily::t5;
    case TargetModel::mmdit: return family == LayerFamily::block || family == LayerFamily::embedding;
  }
  return false;
}

/// Returns the number that stands for '#' (0 if the pattern has none), or nullopt if the path does not fit.
std::optional<int64_t> match(std::string_view pattern, std::string_view path) {
  const size_t hash = pattern.find('#');
  if (hash == std::string_view::npos) return pattern == path ? std::optional<int64_t>(0) : std::nullopt;
  const auto head = pattern.substr(0, hash), tail = pattern.substr(hash + 1);
  if (path.size() <= head.size() + tail.size() || !path.starts_with(head) || !path.ends_with(tail)) return std::nullopt;
  const auto digits = path.substr(head.size(), path.size() - head.size() - tail.size());
  int64_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return index;
}

/// A target that a rule names.
struct Candidate {
  const TargetLinear* target;
  const LayerRule* rule;
  int64_t block;
};

/// The eligible targets in creation order.
std::vector<Candidate> find_candidates(const std::vector<TargetLinear>& targets) {
  std::vector<Candidate> found;
  for (const auto& target : targets) {
    for (const auto& rule : kRules) {
      if (!belongs_to(rule.family, target.model)) continue;
      if (const auto block = match(rule.pattern, target.path)) found.push_back({&target, &rule, *block});
    }
  }
  const auto position = [](const Candidate& c) {
    return std::make_tuple(c.target->model, c.rule->family == LayerFamily::embedding, c.block, c.rule);
  };
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) { return position(a) < position(b); });
  return found;
}

int64_t rank_of(const Candidate& candidate, int64_t base_rank, const NetworkArgs& args) {
  switch (candidate.rule->family) {
    case LayerFamily::clip: return base_rank;
    case LayerFamily::t5: return args.train_t5xxl ? base_rank : 0;
    case LayerFamily::embedding: return args.emb_dims[candidate.rule->kind];
    case LayerFamily::block: break;
  }
  const auto& blocks = args.train_block_indices;
  if (blocks && std::find(blocks->begin(), blocks->end(), candidate.block) == blocks->end()) return 0;
  return args.block_dims[candidate.rule->kind].value_or(base_rank);
}

bool is_qkv(const Candidate& candidate) {
  return candidate.rule->family == LayerFamily::block && candidate.rule->pattern.ends_with("qkv");
}

ModulePlan plan_of(const Candidate& candidate) {
  ModulePlan plan;
  plan.name = module_name(candidate.target->model, candidate.target->path);
  plan.target = *candidate.target;
  plan.kernel = candidate.target->layer->kernel_shape();
  return plan;
}

}  // namespace

std::vector<ModulePlan> plan_modules(const NetworkConfig& config, const NetworkArgs& args,
                                     const std::vector<TargetLinear>& targets) {
  constexpr int64_t kDefaultRank = 4;
  const int64_t base_rank = config.network_dim.value_or(kDefaultRank);
  std::vector<ModulePlan> plans;
  for (const auto& candidate : find_candidates(targets)) {
    if (!is_trained(config, candidate.target->model)) continue;
    auto plan = plan_of(candidate);
    plan.rank = rank_of(candidate, base_rank, args);
    plan.alpha = config.network_alpha == 0 ? static_cast<double>(plan.rank) : config.network_alpha;
    plan.splits = args.split_qkv && is_qkv(candidate) ? 3 : 1;
    if (args.verbose) {
      log::info("{}: {}", plan.name,
                plan.rank > 0 ? fmt::format("rank {}, alpha {}", plan.rank, plan.alpha) : "skipped");
    }
    if (plan.rank > 0) plans.push_back(std::move(plan));
  }
  return plans;
}

std::vector<ModulePlan> plan_modules_from_file(const NetworkConfig& config, const NetworkArgs& args,
                                               const LoraFile& file, const std::vector<TargetLinear>& targets) {
  std::vector<ModulePlan> plans;
  int64_t joined = 0;  // qkv modules that are not three pairs
  for (const auto& candidate : find_candidates(targets)) {
    auto plan = plan_of(candidate);
    const auto found = file.modules.find(plan.name);
    if (found == file.modules.end() || !is_trained(config, candidate.target->model)) continue;
    const LoraPair& pair = found->second;
    const bool splits = args.split_qkv && is_qkv(candidate) && is_block_diagonal(pair, 3);
    plan.splits = splits ? 3 : 1;
    plan.rank = pair.rank() / plan.splits;
    plan.alpha = pair.alpha / static_cast<double>(plan.splits);
    if (args.verbose) log::info("{}: rank {}, alpha {}", plan.name, plan.rank, plan.alpha);
    if (args.split_qkv && is_qkv(candidate) && !splits) ++joined;
    plans.push_back(std::move(plan));
  }
  if (joined > 0) {
    log::warn("[--network_args] split_qkv has no effect on {} modules: their q, k and v are one pair in {}.", joined,
              file.path.string());
  }
  return plans;
}

std::pair<std::vector<int64_t>, std::vector<int64_t>> saved_shapes(const ModulePlan& plan) {
  const int64_t in = plan.target.layer->in_features(), out = plan.target.layer->out_features();
  const int64_t rank = plan.splits * plan.rank;
  if (plan.kernel.empty()) return {{rank, in}, {out, rank}};
  std::vector<int64_t> down{rank};
  down.insert(down.end(), plan.kernel.begin(), plan.kernel.end());
  return {std::move(down), {out, rank, 1, 1}};
}

}  // namespace loraptor::network
