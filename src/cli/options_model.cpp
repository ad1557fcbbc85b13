// Options that name the base model and say how its text encoders are used.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> model_options() {
  return group(
      "Base model and text encoders",
      {
          option("--pretrained_model_name_or_path", FIELD(model.pretrained_model_name_or_path),
                 "The .safetensors file of Stable Diffusion 3 or 3.5: MMDiT and, normally, VAE. Mandatory."),
          option("--clip_l", FIELD(model.clip_l), "CLIP-L text encoder; wins over a copy in the main file."),
          option("--clip_g", FIELD(model.clip_g), "CLIP-G text encoder; wins over a copy in the main file."),
          option("--t5xxl", FIELD(model.t5xxl), "T5-XXL text encoder; wins over a copy in the main file."),
          option("--vae", FIELD(model.vae), "VAE; wins over the copy in the main file."),
          option("--no_half_vae", FIELD(model.no_half_vae), "Run the VAE, and with it the sampler, in float32."),
          option("--disable_mmap_load_safetensors", FIELD(model.disable_mmap_load_safetensors),
                 "Read model files with plain reads instead of memory maps; the result is the same."),
          option(
              "--tokenizer_cache_dir", FIELD(model.tokenizer_cache_dir),
              "Folder with one subfolder per tokenizer (openai_clip-vit-large-patch14, google_t5-v1_1-xxl, ...); used "
              "instead of the installed ones."),
          option("--t5xxl_max_token_length", FIELD(model.t5xxl_max_token_length),
                 "T5 tokens per prompt: longer ones are cut, shorter ones padded."),
          option("--apply_lg_attn_mask", FIELD(model.apply_lg_attn_mask), "Mask the padding inside CLIP-L and CLIP-G."),
          option("--apply_t5_attn_mask", FIELD(model.apply_t5_attn_mask), "Mask the padding inside T5."),
          option("--clip_l_dropout_rate", FIELD(model.clip_l_dropout_rate),
                 "Probability that the CLIP-L part of a sample's conditioning is replaced by zeros."),
          option("--clip_g_dropout_rate", FIELD(model.clip_g_dropout_rate), "The same for CLIP-G."),
          option("--t5_dropout_rate", FIELD(model.t5_dropout_rate), "The same for T5."),
          option("--t5_internal_dropout", FIELD(model.t5_internal_dropout),
                 "Dropout inside T5 in training steps; only where T5 is trained (--network_args train_t5xxl=True).")
              .addition(),
          option("--t5xxl_device", FIELD(model.t5xxl_device), "Device T5 runs on; default: that of the other models."),
          option("--t5xxl_dtype", FIELD(model.t5xxl_dtype), "Type T5 runs in; default: the mixed-precision type."),
          option("--pos_emb_random_crop_rate", FIELD(model.pos_emb_random_crop_rate),
                 "Probability, per step, that the window of position embeddings is a random one (for SD3.5 Medium)."),
          option("--enable_scaled_pos_embed", FIELD(model.enable_scaled_pos_embed),
                 "Fresh position tables, one per training resolution (for SD3.5 Medium)."),
          option("--kohya_compat", FIELD(model.kohya_compat),
                 "Bring back behaviour of sd-scripts that Loraptor corrects; recorded in the metadata: attn2, the "
                 "second attention of SD3.5 Medium with heads cut otherwise; timesteps, rounded to the compute type; "
                 "masks, without effect unless captions are cached; t5_dropout, 10 % inside a T5 that runs live with "
                 "--gradient_checkpointing; step_count, which starts at 0 with --resume, --initial_step and "
                 "--initial_epoch unless batches are skipped (never with --auto_resume); alpha_qkv, saved unchanged "
                 "with split_qkv.")
              .one_of({"attn2", "timesteps", "masks", "t5_dropout", "step_count", "alpha_qkv", "all"})
              .addition(),
      });
}

}  // namespace loraptor::cli
