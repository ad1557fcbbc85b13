// Settings of the base model: which files, how the text encoders are used, which of the reference's bugs come back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::models {

/// Field names are the flags' names without dashes.
struct ModelConfig {
  std::optional<std::string> pretrained_model_name_or_path;  // .safetensors with the MMDiT and normally the VAE
  std::optional<std::string> clip_l;                         // CLIP-L file; wins over a copy in the main file
  std::optional<std::string> clip_g;                         // CLIP-G file; wins likewise
  std::optional<std::string> t5xxl;                          // T5-XXL encoder file; wins likewise
  std::optional<std::string> vae;                            // VAE file; wins likewise
  bool no_half_vae = false;                                  // VAE and sampler in float32
  bool disable_mmap_load_safetensors = false;                // plain file reads instead of memory maps
  std::optional<std::string> tokenizer_cache_dir;            // folder with one subfolder per tokenizer
  int64_t t5xxl_max_token_length = 256;                      // T5 tokens per prompt
  bool apply_lg_attn_mask = false;                           // padding is masked inside CLIP-L and CLIP-G
  bool apply_t5_attn_mask = false;                           // padding is masked inside T5
  double clip_l_dropout_rate = 0.0;                          // probability that a sample's CLIP-L part becomes zero
  double clip_g_dropout_rate = 0.0;                          // the same for CLIP-G
  double t5_dropout_rate = 0.0;                              // the same for T5
  std::optional<std::string> t5xxl_device;                   // where T5 runs; unset: with the other models
  std::optional<std::string> t5xxl_dtype;                    // dtype T5 runs in; unset: the mixed-precision type
  double pos_emb_random_crop_rate = 0.0;                     // probability, per step, of a random position window
  bool enable_scaled_pos_embed = false;                      // fresh position tables, one per training resolution
  double t5_internal_dropout = 0.0;                          // dropout inside a T5 that is trained
  std::vector<std::string> kohya_compat;                     // see the option's help
};

}  // namespace loraptor::models
