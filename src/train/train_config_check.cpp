// Each function looks at one subject; the order is that of the help.
#include "train/train_config_check.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/log.h"
#include "network/model_rates.h"
#include "network/network.h"
#include "network/network_args.h"
#include "optim/keyword_args.h"
#include "optim/lr_schedule.h"
#include "optim/optimizer.h"
#include "tensor/device.h"
#include "train/path_check.h"
#include "train/text_source.h"

namespace loraptor::train {
namespace {

constexpr int64_t kMostCounted = 1'000'000'000;
constexpr int64_t kBucketGridPx = 32;  // the VAE divides by 8, the patches by 2, and the reference asks for twice that

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

class Checker {
 public:
  explicit Checker(const TrainConfig& config) : config_(config) {}

  std::vector<std::string> problems() {
    problems_ = empty_paths(config_);
    check_model();
    check_data();
    if (!config_.data.dataset_config) check_folder_data();
    check_cache();
    check_network();
    check_trained_parts();
    check_optimizer();
    check_schedule();
    check_flow();
    check_loop();
    check_recovery();
    check_memory();
    check_output();
    check_meaningless();
    return std::move(problems_);
  }

 private:
  /// flag   without dashes; fact and hint as in every message
  void add(const std::string& flag, const std::string& fact, const std::string& hint = "") {
    problems_.push_back(fmt::format("[--{}] {}{}{}", flag, fact, hint.empty() ? "" : "\nHint: ", hint));
  }

  bool is_given(const std::string& name) const { return config_.origins.count(name) != 0; }

  /// A count. Far more than anyone needs is refused, so that products of two counts are in range.
  void count(const std::string& flag, std::optional<int64_t> value, int64_t minimum) {
    if (value && *value < minimum) add(flag, fmt::format("value: got {}, expected at least {}.", *value, minimum));
    if (value > kMostCounted) add(flag, fmt::format("value: got {}, expected at most {}.", *value, kMostCounted));
  }

  void probability(const std::string& flag, double value, bool with_one = true) {
    if (value >= 0 && (with_one ? value <= 1 : value < 1)) return;
    add(flag, fmt::format("value: got {}, expected a probability from 0 to {}1.", value, with_one ? "" : "below "));
  }

  void not_negative(const std::string& flag, double value) {
    if (!(value >= 0)) add(flag, fmt::format("value: got {}, expected 0 or more.", value));
  }

  void positive(const std::string& flag, double value) {
    if (!(value > 0)) add(flag, fmt::format("value: got {}, expected a number above 0.", value));
  }

  /// Takes over what a lower tier finds wrong, in its own words; once, though several checks may come upon it.
  template <class Check>
  void ask(Check check) {
    try {
      check();
    } catch (const UsageError& error) {
      if (std::find(problems_.begin(), problems_.end(), error.what()) == problems_.end()) {
        problems_.push_back(error.what());
      }
    }
  }

  void check_model() {
    const models::ModelConfig& model = config_.model;
    if (!model.pretrained_model_name_or_path && !config_.data.debug_dataset) {
      add("pretrained_model_name_or_path",
          "model: got none, expected a .safetensors file of Stable Diffusion 3 or 3.5.");
    }
    count("t5xxl_max_token_length", model.t5xxl_max_token_length, 2);  // a token and the end
    probability("clip_l_dropout_rate", model.clip_l_dropout_rate);
    probability("clip_g_dropout_rate", model.clip_g_dropout_rate);
    probability("t5_dropout_rate", model.t5_dropout_rate);
    probability("t5_internal_dropout", model.t5_internal_dropout, /*with_one=*/false);
    if (model.t5_internal_dropout > 0 && !trains_t5(config_)) {
      add("t5_internal_dropout", "dropout: got a T5 that is not trained, expected --network_args train_t5xxl=True.");
    }
    probability("pos_emb_random_crop_rate", model.pos_emb_random_crop_rate);
    if (model.t5xxl_device) ask([&] { tensor::named_device(*model.t5xxl_device, "--t5xxl_device"); });
  }

  void check_data() {
    const data::DataConfig& data = config_.data;
    count("train_batch_size", data.train_batch_size, 1);
    count("dataset_repeats", data.dataset_repeats, 1);
    count("max_data_loader_n_workers", data.max_data_loader_n_workers, 0);
    count("min_bucket_reso", data.min_bucket_reso, 1);
    count("bucket_reso_steps", data.bucket_reso_steps, 1);
  }

  /// With a data set file these values are only fallbacks, and that file's own check sees what is left of them.
  void check_folder_data() {
    const data::DataConfig& data = config_.data;
    if (!data.train_data_dir && !data.in_json) {
      add("dataset_config", "training data: got none, expected a data set file.",
          "or name a folder of image folders with --train_data_dir");
    }
    if (!data.resolution) {
      add("resolution", "resolution: got none, expected N or W,H.", "such as --resolution 1024,1024");
    } else {
      check_resolution(*data.resolution);
    }
    if (data.enable_bucket && data.bucket_reso_steps > 0 && data.bucket_reso_steps % kBucketGridPx != 0) {
      add("bucket_reso_steps",
          fmt::format("value: got {}, expected a multiple of {}.", data.bucket_reso_steps, kBucketGridPx));
    }
    if (config_.cache.cache_latents && config_.cache.latents_variants == 0 && (data.color_aug || data.random_crop)) {
      add("cache_latents", fmt::format("cache: got --{} with it.", data.color_aug ? "color_aug" : "random_crop"),
          "leave it out, or keep some drawn images of each with --latents_variants 8");
    }
    const double dropout = data.caption_dropout_rate + data.caption_tag_dropout_rate;
    const bool varies = data.shuffle_caption || dropout > 0 || data.token_warmup_step > 0;
    if (config_.cache.cache_text_encoder_outputs && config_.cache.cache_text_encoder_variants == 0 && varies) {
      add("cache_text_encoder_outputs", "cache: got captions that are changed at random, expected fixed ones.",
          data.token_warmup_step > 0 ? "leave the cache out"
                                     : "leave it out, or keep drawn captions with --cache_text_encoder_variants 8");
    }
  }

  void check_resolution(const std::string& text) {
    std::vector<int64_t> sides;
    size_t used = 0;
    try {
      for (size_t start = 0; start <= text.size();) {
        const size_t comma = std::min(text.find(',', start), text.size());
        const std::string piece = text.substr(start, comma - start);
        sides.push_back(std::stoll(piece, &used));
        if (piece.find_first_not_of(' ', used) != std::string::npos) sides.push_back(-1);
        start = comma + 1;
      }
    } catch (const std::exception&) {
      sides.assign(1, -1);
    }
    if (sides.size() > 2 || std::any_of(sides.begin(), sides.end(), [](int64_t side) { return side <= 0; })) {
      return add("resolution", fmt::format("resolution: got '{}', expected N or W,H.", text));
    }
    const data::DataConfig& data = config_.data;
    const auto [smaller, larger] = std::minmax(sides.front(), sides.back());
    if (!data.enable_bucket || data.bucket_no_upscale) return;
    if (data.min_bucket_reso > smaller) {
      add("min_bucket_reso", fmt::format("value: got {}, expected at most the resolution's smaller side {}.",
                                         data.min_bucket_reso, smaller));
    }
    if (data.max_bucket_reso < larger) {
      add("max_bucket_reso", fmt::format("value: got {}, expected at least the resolution's larger side {}.",
                                         data.max_bucket_reso, larger));
    }
  }

  void check_cache() {
    count("text_encoder_batch_size", config_.cache.text_encoder_batch_size, 1);
    count("vae_batch_size", config_.cache.vae_batch_size, 1);
    count("cache_text_encoder_variants", config_.cache.cache_text_encoder_variants, 0);
    count("latents_variants", config_.cache.latents_variants, 0);
    const auto& args = config_.network.network_args;
    if (config_.cache.cache_text_encoder_outputs && std::count(args.begin(), args.end(), "train_t5xxl=True") > 0) {
      add("cache_text_encoder_outputs", "cache: got train_t5xxl=True with it, expected a T5 that stays the same.",
          "remove one of the two");
    }
  }

  void check_network() {
    const network::NetworkConfig& network = config_.network;
    const std::string module = network.network_module.value_or("networks.lora_sd3");
    const auto names = network::network_names();
    if (std::find(names.begin(), names.end(), module) == names.end()) {
      add("network_module", fmt::format("module: got '{}', expected one of {}.", module, fmt::join(names, ", ")));
    }
    count("network_dim", network.network_dim, 1);
    not_negative("network_alpha", network.network_alpha);
    if (network.network_dropout) probability("network_dropout", *network.network_dropout, /*with_one=*/false);
    ask([&] { network::parse_network_args(network.network_args); });
    if (network.dim_from_weights && !network.network_weights) {
      add("dim_from_weights", "weights: got none, expected --network_weights.");
    }
    if (network.base_weights_multiplier.size() > network.base_weights.size()) {
      add("base_weights_multiplier", fmt::format("factors: got {}, expected at most {}, the number of --base_weights.",
                                                 network.base_weights_multiplier.size(), network.base_weights.size()));
    }
  }

  void check_trained_parts() {
    const network::NetworkConfig& network = config_.network;
    const optim::OptimizerConfig& optimizer = config_.optimizer;
    if (optimizer.text_encoder_lr.size() > 3) {
      add("text_encoder_lr",
          fmt::format("rates: got {}, expected at most 3: CLIP-L, CLIP-G, T5.", optimizer.text_encoder_lr.size()));
    }
    if (network.network_train_unet_only && network.network_train_text_encoder_only) {
      return add("network_train_unet_only",
                 "trained parts: got --network_train_text_encoder_only with it, expected one of the two.");
    }
    ask([&] {
      const auto rates = network::all_group_rates(network, config_.learning_rates());
      if (std::any_of(rates.begin(), rates.end(), [](double rate) { return !(rate >= 0); })) {
        add("learning_rate", fmt::format("rates: got {}, expected none below 0.", fmt::join(rates, ", ")));
      } else if (rates.empty()) {
        add("learning_rate", "rates: got 0 for all parts that are trained, expected one above 0.");
      }
      optim::check_rates(optimizer, rates);
    });
  }

  void check_optimizer() {
    const optim::OptimizerConfig& optimizer = config_.optimizer;
    ask([&] { optim::optimizer_traits(optimizer); });
    ask([&] { optim::KeywordArgs(optimizer.optimizer_args, "--optimizer_args"); });
    const bool is_adafactor = lower(optimizer.optimizer_type) == "adafactor";
    if (optimizer.fused_backward_pass && (!is_adafactor || config_.loop.gradient_accumulation_steps > 1)) {
      add("fused_backward_pass", "optimizer: got another setup, expected Adafactor without gradient accumulation.",
          "remove the flag");
    }
    not_negative("max_grad_norm", optimizer.max_grad_norm);
  }

  void check_schedule() {
    const optim::ScheduleConfig& schedule = config_.schedule;
    count("lr_scheduler_num_cycles", schedule.lr_scheduler_num_cycles, 1);
    for (const auto& [flag, length] : {std::pair("lr_warmup_steps", schedule.lr_warmup_steps),
                                       std::pair("lr_decay_steps", schedule.lr_decay_steps)}) {
      if (!(length.value >= 0) || length.value > (length.is_fraction ? 1 : kMostCounted)) {
        return add(flag, fmt::format("value: got {}, expected 0 to 1 or up to {} steps.", length.value, kMostCounted));
      }
    }
    const auto traits = optimizer_traits();
    if (traits.own_schedule && schedule.lr_warmup_steps.value != 0) {
      add("lr_warmup_steps",
          fmt::format("warm-up: got {}, expected none: Adafactor chooses its own rate.",
                      schedule.lr_warmup_steps.value),
          "use --optimizer_args warmup_init=True, or relative_step=False for rates of yours");
    }
    if (traits.own_schedule || traits.schedule_free) return;  // they do not look at the schedule
    const optim::ScheduleRun run{.max_train_steps = std::max<int64_t>(1, config_.loop.max_train_steps),
                                 .learning_rate = config_.optimizer.learning_rate};
    ask([&] { optim::create_lr_schedule(schedule, run); });
  }

  optim::OptimizerTraits optimizer_traits() const {
    try {
      return optim::optimizer_traits(config_.optimizer);
    } catch (const UsageError&) {
      return {};  // check_optimizer tells
    }
  }

  void check_flow() {
    const flow::FlowConfig& flow = config_.flow;
    if ((flow.loss_type == "huber" || flow.loss_type == "smooth_l1") && flow.huber_schedule == "snr") {
      add("huber_schedule", fmt::format("schedule: got snr, expected another one with --loss_type {}.", flow.loss_type),
          "use --huber_schedule exponential or constant");
    }
    const int64_t lowest = flow.min_timestep.value_or(0), highest = flow.max_timestep.value_or(1000);
    if (lowest < 0 || highest > 1000 || lowest > std::min<int64_t>(highest, 999)) {
      add("min_timestep", fmt::format("timesteps: got {} to {}, expected a range inside 0 to 1000.", lowest, highest));
    }
    positive("training_shift", flow.training_shift);
    not_negative("logit_std", flow.logit_std);
    positive("huber_c", flow.huber_c);
    positive("huber_scale", flow.huber_scale);
  }

  void check_loop() {
    const LoopConfig& loop = config_.loop;
    count("gradient_accumulation_steps", loop.gradient_accumulation_steps, 1);
    count("max_train_epochs", loop.max_train_epochs, 1);
    if (!loop.max_train_epochs) count("max_train_steps", loop.max_train_steps, 1);
    count("cpu_threads", loop.cpu_threads, 1);
    count("num_processes", loop.num_processes, 1);
    count("validate_every_n_steps", loop.validate_every_n_steps, 1);
    count("validate_every_n_epochs", loop.validate_every_n_epochs, 1);
    count("initial_epoch", loop.initial_epoch, 1);
    count("initial_step", loop.initial_step, 0);
    if (loop.skip_until_initial_step && !loop.initial_step && !loop.initial_epoch && !loop.resume) {
      add("skip_until_initial_step", "start: got none, expected --initial_step, --initial_epoch or --resume.");
    }
    if (loop.initial_step && !loop.max_train_epochs && loop.max_train_steps <= *loop.initial_step) {
      add("max_train_steps", fmt::format("steps: got {}, expected more than --initial_step {}.", loop.max_train_steps,
                                         *loop.initial_step));
    }
  }

  void check_recovery() {
    const LoopConfig& loop = config_.loop;
    not_negative("recovery_minutes", loop.recovery_minutes);
    if (is_given("recovery_minutes") && !loop.auto_resume) {
      add("recovery_minutes", "recovery: got no --auto_resume, expected both.", "add --auto_resume");
    }
    if (!(loop.ema_decay >= 0 && loop.ema_decay < 1)) {
      add("ema_decay", fmt::format("value: got {}, expected 0 or more and below 1.", loop.ema_decay));
    }
    if (loop.on_nan == "rollback" && optimizer_traits().own_schedule) {
      add("on_nan", "rollback: got an optimizer that chooses its own learning rate, expected one that can be lowered.",
          "use --optimizer_args relative_step=False with Adafactor, or --on_nan stop");
    }
  }

  void check_memory() {
    const memory::MemoryConfig& memory = config_.memory;
    if (memory.full_fp16 && memory.mixed_precision != "fp16") {
      add("full_fp16", fmt::format("precision: got --mixed_precision {}, expected fp16.", memory.mixed_precision));
    }
    if (memory.full_bf16 && memory.mixed_precision != "bf16") {
      add("full_bf16", fmt::format("precision: got --mixed_precision {}, expected bf16.", memory.mixed_precision));
    }
    if (memory.fp8_base && memory.mixed_precision == "no") {
      add(memory.fp8_base_unet ? "fp8_base_unet" : "fp8_base",
          "precision: got --mixed_precision no, expected fp16 or bf16 to compute in.");
    }
    count("blocks_to_swap", memory.blocks_to_swap, 0);
    if (memory.blocks_to_swap.value_or(0) > 0 && memory.cpu_offload_checkpointing) {
      add("blocks_to_swap", "memory: got --cpu_offload_checkpointing with it, expected one of the two.");
    }
  }

  void check_output() {
    const SaveConfig& saving = config_.saving;
    if (!saving.output_dir && !config_.data.debug_dataset) {
      add("output_dir", "output: got no folder, expected one for the trained LoRA.");
    }
    if (saving.save_model_as != "safetensors") {
      add("save_model_as", fmt::format("format: got {}, expected safetensors.", saving.save_model_as),
          "the other formats are Python pickles without metadata");
    }
    count("save_every_n_epochs", saving.save_every_n_epochs, 1);
    count("save_every_n_steps", saving.save_every_n_steps, 1);
    const SampleConfig& sample = config_.sample;
    if ((sample.sample_every_n_steps || sample.sample_every_n_epochs || sample.sample_at_first) &&
        !sample.sample_prompts) {
      add("sample_prompts", "sample images: got no prompts, expected a prompt file.");
    }
    const LoggingConfig& logging = config_.logging;
    const std::string log_with = logging.log_with.value_or("");
    if (log_with == "wandb" || log_with == "all") {
      add("log_with", fmt::format("tracker: got {}, expected tensorboard.", log_with));
    }
    if ((log_with == "tensorboard" || log_with == "all") && !logging.logging_dir) {
      add("logging_dir", fmt::format("folder: got none, expected one with --log_with {}.", log_with));
    }
  }

  /// Options without effect still have to fit together, as scripts that pass them rely on being told.
  void check_meaningless() {
    if (is_given("adaptive_noise_scale") && !is_given("noise_offset")) {
      add("adaptive_noise_scale", "noise: got no --noise_offset, expected both.", "remove the flag");
    }
    if (is_given("scale_v_pred_loss_like_noise_pred") && !is_given("v_parameterization")) {
      add("scale_v_pred_loss_like_noise_pred", "loss: got no --v_parameterization, expected both.", "remove the flag");
    }
    if (is_given("v_pred_like_loss") && is_given("v_parameterization")) {
      add("v_pred_like_loss", "loss: got --v_parameterization with it, expected one of the two.", "remove both");
    }
  }

  const TrainConfig& config_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> find_problems(const TrainConfig& config) { return Checker(config).problems(); }

void check_train_config(TrainConfig& config) {
  for (const std::string& warning : apply_implied_settings(config)) log::warn("{}", warning);
  std::vector<std::string> problems = find_problems(config);
  for (std::string& problem : missing_files(config)) problems.push_back(std::move(problem));
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace loraptor::train
