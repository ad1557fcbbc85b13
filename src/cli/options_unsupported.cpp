// Options of the reference that have no meaning here: accepted without effect, or refused with the alternative.
#include "cli/option_table.h"

namespace loraptor::cli {
namespace {

constexpr const char* kOtherModels = "it is for other models than Stable Diffusion 3";
constexpr const char* kNoDeepSpeed = "it acts only with --deepspeed";
constexpr const char* kNoUpload = "nothing is uploaded";

std::vector<Option> without_effect() {
  const Value unset;
  return group(
      "Accepted without effect",
      {
          ignored("--v2", Kind::flag, false, kOtherModels).recorded(),
          ignored("--v_parameterization", Kind::flag, false, "Stable Diffusion 3 is trained with flow matching"),
          ignored("--clip_skip", Kind::integer, unset, "the encoders always use their second-to-last layer").recorded(),
          ignored("--max_token_length", Kind::integer, unset, "CLIP always reads 77 tokens")
              .one_of({"150", "225"})
              .recorded(),
          ignored("--noise_offset", Kind::number, unset, kOtherModels).recorded(),
          ignored("--noise_offset_random_strength", Kind::flag, false, kOtherModels).recorded(),
          ignored("--multires_noise_iterations", Kind::integer, unset, kOtherModels).recorded(),
          ignored("--multires_noise_discount", Kind::number, 0.3, kOtherModels).recorded(),
          ignored("--ip_noise_gamma", Kind::number, unset, kOtherModels).recorded(),
          ignored("--ip_noise_gamma_random_strength", Kind::flag, false, kOtherModels).recorded(),
          ignored("--adaptive_noise_scale", Kind::number, unset, kOtherModels).recorded(),
          ignored("--zero_terminal_snr", Kind::flag, false, kOtherModels).recorded(),
          ignored("--min_snr_gamma", Kind::number, unset, "--weighting_scheme weights the loss over the timesteps")
              .recorded(),
          ignored("--debiased_estimation_loss", Kind::flag, false, kOtherModels).recorded_as("debiased_estimation"),
          ignored("--scale_v_pred_loss_like_noise_pred", Kind::flag, false, kOtherModels),
          ignored("--v_pred_like_loss", Kind::number, unset, kOtherModels),
          ignored("--conditioning_data_dir", Kind::text, unset, "masks are declared in the data set file"),
          ignored("--mem_eff_attn", Kind::flag, false, "attention is always the fused one, as with --sdpa"),
          ignored("--xformers", Kind::flag, false, "attention is always the fused one, as with --sdpa"),
          ignored("--sdpa", Kind::flag, false, "attention is always the fused one").silent(),
          ignored("--dynamo_backend", Kind::text, std::string("inductor"), "it acts only with --torch_compile")
              .one_of({"eager", "aot_eager", "inductor", "aot_ts_nvfuser", "nvprims_nvfuser", "cudagraphs", "ofi",
                       "fx2trt", "onnxrt", "tensort", "ipex", "tvm"}),
          ignored("--ddp_timeout", Kind::integer, unset, "a process that is lost is noticed within half a minute"),
          ignored("--ddp_gradient_as_bucket_view", Kind::flag, false, "all gradients lie in one buffer anyway"),
          ignored("--ddp_static_graph", Kind::flag, false, "all gradients lie in one buffer anyway"),
          ignored("--zero_stage", Kind::integer, int64_t{2}, kNoDeepSpeed).one_of({"0", "1", "2", "3"}),
          ignored("--offload_optimizer_device", Kind::text, unset, kNoDeepSpeed).one_of({"cpu", "nvme"}),
          ignored("--offload_optimizer_nvme_path", Kind::text, unset, kNoDeepSpeed),
          ignored("--offload_param_device", Kind::text, unset, kNoDeepSpeed).one_of({"cpu", "nvme"}),
          ignored("--offload_param_nvme_path", Kind::text, unset, kNoDeepSpeed),
          ignored("--zero3_init_flag", Kind::flag, false, kNoDeepSpeed),
          ignored("--zero3_save_16bit_model", Kind::flag, false, kNoDeepSpeed),
          ignored("--fp16_master_weights_and_gradients", Kind::flag, false, kNoDeepSpeed),
          ignored("--huggingface_repo_type", Kind::text, unset, kNoUpload),
          ignored("--huggingface_path_in_repo", Kind::text, unset, kNoUpload),
          ignored("--huggingface_token", Kind::text, unset, kNoUpload).secret(),
          ignored("--huggingface_repo_visibility", Kind::text, unset, kNoUpload),
          ignored("--async_upload", Kind::flag, false, kNoUpload),
          ignored("--sample_sampler", Kind::text, std::string("ddim"), "Stable Diffusion 3 uses the Euler flow sampler")
              .one_of({"ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpm_2_a", "dpmsolver",
                       "dpmsolver++", "dpmsingle", "k_lms", "k_euler", "k_euler_a", "k_dpm_2", "k_dpm_2_a"}),
          ignored("--log_tracker_config", Kind::text, unset, "TensorBoard logs need no settings"),
          ignored("--wandb_run_name", Kind::text, unset, "nothing is sent to Weights & Biases"),
          ignored("--wandb_api_key", Kind::text, unset, "nothing is sent to Weights & Biases").secret(),
      });
}

std::vector<Option> refusals() {
  return group(
      "Refused",
      {
          refused("--weighted_captions", Kind::flag, "prompt weights do not exist for Stable Diffusion 3; remove it"),
          refused("--dataset_class", Kind::text,
                  "data come from Python code there; describe them with --dataset_config"),
          refused("--torch_compile", Kind::flag, "the program is compiled already; remove it"),
          refused("--deepspeed", Kind::flag, "use --gradient_checkpointing and the caches to save memory"),
          refused("--huggingface_repo_id", Kind::text, "upload the results afterwards with the hub's own tool"),
          refused("--save_state_to_huggingface", Kind::flag, "upload the state folders with the hub's own tool"),
          refused("--resume_from_huggingface", Kind::flag, "download the state folder and name it with --resume"),
      });
}

}  // namespace

std::vector<Option> unsupported_options() {
  std::vector<Option> rows = without_effect();
  for (Option& row : refusals()) rows.push_back(std::move(row));
  return rows;
}

}  // namespace loraptor::cli
