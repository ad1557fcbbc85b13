// What --network_args says, checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::network {

/// Kinds of MMDiT layers that can have a rank of their own.
enum class BlockLayerKind { context_attn, context_mlp, context_mod, x_attn, x_mlp, x_mod };
inline constexpr size_t kBlockLayerKinds = 6;

/// The six entries of emb_dims.
inline constexpr size_t kEmbeddingKinds = 6;  // context, t, x, y, final modulation, final linear

/// How a layer's correction is made of its factors.
enum class Algo { lora, loha, lokr };

/// What LyCORIS calls the algorithm. Field names are the keys' names.
struct AlgoArgs {
  Algo algo = Algo::lora;
  bool dora_wd = false;  // DoRA: the length of each row (or column) of the weight is trained apart from its direction
  bool wd_on_output = true;     // rows (outputs); False: columns (inputs)
  int64_t factor = -1;          // LoKr: size of the smaller Kronecker factor; -1: as near to a square as possible
  bool decompose_both = false;  // LoKr: the smaller factor may be a low-rank product too
  bool full_matrix = false;     // LoKr: no low-rank product at all
  bool unbalanced_factorization = false;  // LoKr: the smaller factor takes the larger part of the outputs

  /// Whether this is more than the pairs of matrices that LoraNetwork trains.
  bool is_beyond_lora() const { return algo != Algo::lora || dora_wd; }
};

/// Field names are the keys' names.
struct NetworkArgs {
  AlgoArgs algo;
  std::array<std::optional<int64_t>, kBlockLayerKinds> block_dims;  // by BlockLayerKind; unset: base rank; 0: none
  std::array<int64_t, kEmbeddingKinds> emb_dims{};                  // 0: none
  std::optional<std::vector<int64_t>> train_block_indices;          // unset: all blocks
  bool split_qkv = false;
  bool train_t5xxl = false;
  bool verbose = false;
  double rank_dropout = 0;
  double module_dropout = 0;
  double loraplus_lr_ratio = 0;  // 0: no LoRA+
  double loraplus_unet_lr_ratio = 0;
  double loraplus_text_encoder_lr_ratio = 0;

  std::vector<std::string> warnings;  // of items that do nothing
};

/// Reads key=value items. Throws UsageError for an item without '=' or a value of the wrong form. As the reference
/// does, it accepts unknown keys, and takes split_qkv, train_t5xxl and verbose for False unless they are exactly True;
/// `warnings` names these (with the nearest known keys), and `dropout`, `conv_dim` and `conv_alpha`, which do nothing.
/// Ref: sd-scripts@48d368f networks/lora_sd3.py:create_network.
NetworkArgs parse_network_args(const std::vector<std::string>& items);

/// Reads block lists such as "0,1,4-5", "all", "none". Returns nullopt for "all". Throws UsageError.
std::optional<std::vector<int64_t>> parse_block_indices(const std::string& text);

}  // namespace loraptor::network
