// Options of the LoRA network.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> network_options() {
  return group(
      "Network (LoRA)",
      {
          option(
              "--network_module", FIELD(network.network_module),
              "networks.lora_sd3, networks.lora or lycoris.kohya: all name the built-in network, whose kind is algo of "
              "--network_args."),
          option("--network_dim", FIELD(network.network_dim), "Rank; default: 4."),
          option("--network_alpha", FIELD(network.network_alpha),
                 "Scale of the network is alpha / rank; 0: alpha equals the rank."),
          option("--network_dropout", FIELD(network.network_dropout), "Dropout between the two LoRA matrices."),
          option(
              "--network_args", FIELD(network.network_args),
              "key=value settings: context_attn_dim, context_mlp_dim, context_mod_dim, x_attn_dim, x_mlp_dim, "
              "x_mod_dim, emb_dims, train_block_indices, rank_dropout, module_dropout, loraplus_lr_ratio; algo=lora, "
              "loha or lokr, dora_wd, factor, ..."),
          option("--network_weights", FIELD(network.network_weights), "LoRA file to start from."),
          option("--dim_from_weights", FIELD(network.dim_from_weights),
                 "Take ranks and alphas from the file of --network_weights."),
          option("--network_train_unet_only", FIELD(network.network_train_unet_only), "Train only the MMDiT."),
          option("--network_train_text_encoder_only", FIELD(network.network_train_text_encoder_only),
                 "Train only the text encoders."),
          option("--scale_weight_norms", FIELD(network.scale_weight_norms),
                 "Upper limit of each LoRA pair's weight norm."),
          option("--base_weights", FIELD(network.base_weights), "LoRA files merged into the model before training."),
          option("--base_weights_multiplier", FIELD(network.base_weights_multiplier),
                 "Factor for each file of --base_weights; missing ones are 1."),
          option("--training_comment", FIELD(network.training_comment), "Free text for the metadata."),
      });
}

}  // namespace loraptor::cli
