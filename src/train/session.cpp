#include "train/session.h"

#include <ATen/core/grad_mode.h>

#include <future>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "dist/process_group.h"
#include "models/model_files.h"
#include "models/weights_hash.h"
#include "network/network_merge.h"
#include "train/auto_resume.h"
#include "train/checkpoint_check.h"
#include "train/data_identity.h"
#include "train/dataset_check.h"
#include "train/debug_dataset.h"
#include "train/initial_state.h"
#include "train/memory_setup.h"
#include "train/metadata.h"
#include "train/observers.h"
#include "train/output_check.h"
#include "train/process_setup.h"
#include "train/resume.h"
#include "train/saved_encoders.h"
#include "train/text_source.h"
#include "train/train_config_check.h"
#include "train/trainer.h"

namespace loraptor::train {
namespace {

using network::TargetModel;

/// Objects of a run, built one after the other; a later one may refer to an earlier one.
class Session {
 public:
  explicit Session(TrainConfig config) : config_(std::move(config)), precision_(make_precision(config_)) {}

  void run() {
    set_up();
    if (processes_->is_main()) check_outputs(config_);
    open_data();
    if (is_finished(config_, plan_, start_)) return;
    prepare_text();
    prepare_latents();
    prepare_mmdit();
    build_network();
    build_optimizer();
    train();
  }

  void fill_caches() {
    // Prompts are never written.
    config_.sample = {};
    set_up();
    open_data();
    if (config_.cache.cache_text_encoder_outputs) prepare_text();
    if (config_.cache.cache_latents) prepare_latents();
  }

 private:
  void set_up();
  void open_data();
  void prepare_text();
  void prepare_latents();
  void prepare_mmdit();
  void build_network();
  void build_optimizer();
  RunParts run_parts() { return {*network_, *optimizer_, *scaler_, average_ ? &*average_ : nullptr}; }
  std::unique_ptr<SampleImages> make_samples();
  std::shared_future<io::Metadata> start_metadata();
  InputSources input_sources();
  InputSources validation_sources();
  void train();

  const models::Vae& vae();  // loaded when it is first needed
  models::LoadOptions load_options(at::ScalarType dtype) const { return {.dtype = dtype, .device = device_}; }
  void add_targets(std::vector<network::TargetLinear>& targets);

  TrainConfig config_;
  Precision precision_;
  TrainPlan plan_{};
  at::Device device_ = at::kCPU;
  std::unique_ptr<dist::ProcessGroup> processes_;
  uint64_t seed_ = 0;
  double started_at_ = unix_time();
  std::optional<TrainState> resumed_;
  TrainState start_;
  RunIdentity identity_, data_identity_;

  std::optional<data::DatasetGroups> data_;
  std::unique_ptr<Replay> replay_;
  std::unique_ptr<tensor::DrawSource> counter_draws_, validation_draws_;
  tensor::DrawSource* draws_ = nullptr;

  std::optional<models::ModelFiles> files_;
  std::vector<pipeline::SamplePrompt> prompts_;
  std::optional<TextSource> text_;
  std::optional<models::Vae> vae_;
  pipeline::LatentsSource latents_, validation_latents_;
  std::optional<models::MMDiT> mmdit_;
  std::unique_ptr<memory::BlockRunner> runner_;

  std::unique_ptr<network::Network> network_;
  std::vector<optim::ParamGroup> groups_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  optim::LrSchedule schedule_;
  std::optional<optim::GradScaler> scaler_;
  std::optional<WeightAverage> average_;
};

void Session::set_up() {
  const auto world = dist::world_from_environment();
  device_ = set_up_process(config_, world);
  processes_ = std::make_unique<dist::ProcessGroup>(world, device_);
  if (config_.loop.auto_resume) choose_state(config_);
  // All begin at the same place, with the same seed; a drawn seed differs from process to process.
  if (const auto state = processes_->from_main(config_.loop.resume.value_or("")); !state.empty()) {
    config_.loop.resume = state;
    resumed_ = read_train_state(state);
  }
  seed_ = std::stoull(processes_->from_main(fmt::format("{}", static_cast<uint64_t>(config_.loop.seed.value_or(0)))));
  if (resumed_ && !resumed_->is_step_only && resumed_->seed != seed_) {
    if (config_.origins.count("seed") != 0) {
      log::warn("[--resume] the seed differs: got {}, the state was written with {}, which is used.", seed_,
                resumed_->seed);
    }
    seed_ = resumed_->seed;
  }
}

void Session::open_data() {
  files_ = models::ModelFiles::open(config_.model);
  check_checkpoint(config_, *files_, device_);
  data_.emplace(data::Dataset::build_groups(config_.data, seed_));
  check_dataset(config_, data_->training);
  plan_ = make_train_plan(config_, data_->training.batches_per_epoch(), processes_->size());
  data_->training.set_max_train_steps(plan_.max_steps);
  data_->set_caption_variants(config_.cache.cache_text_encoder_variants);
  log::info("{}", data_->training.report());
  start_ = initial_state(config_.loop, plan_, resumed_, has_compat(config_, "step_count"));
  start_.seed = seed_;
  identity_ = run_identity(config_, plan_, data_->training.images().size());
  data_identity_ = data_identity(data_->training);
  if (config_.loop.resume) report_differences(*config_.loop.resume, identity_, data_identity_);
  counter_draws_ = std::make_unique<tensor::CounterDraws>(seed_);
  draws_ = counter_draws_.get();
  validation_draws_ = std::make_unique<tensor::CounterDraws>(
      config_.data.validation_seed ? static_cast<uint64_t>(*config_.data.validation_seed) : seed_);
  if (config_.loop.replay_draws) {
    replay_ = std::make_unique<Replay>(*config_.loop.replay_draws);
    draws_ = replay_.get();
  }
  if (wants_samples(config_.sample)) prompts_ = pipeline::read_prompt_file(*config_.sample.sample_prompts);
}

/// Text encoders come and go before the MMDiT is read, unless they are needed in every step.
void Session::prepare_text() {
  const auto merge = [this] {
    if (config_.network.base_weights.empty()) return;
    std::vector<network::TargetLinear> targets;
    add_targets(targets);
    // Before anything is encoded, so that cached outputs see the merged encoders.
    network::merge_base_weights(config_.network, targets);
  };
  text_.emplace(config_, precision_, *files_, device_, tensor::CounterRng(seed_), merge);
  if (config_.cache.cache_text_encoder_outputs) {
    text_->cache(*data_, prompt_texts(prompts_));
  } else {
    text_->load();
  }
}

const models::Vae& Session::vae() {
  if (!vae_) vae_.emplace(files_->part(models::Part::vae, load_options(precision_.vae)));
  return *vae_;
}

void Session::prepare_latents() {
  if (!config_.cache.cache_latents) {
    vae();
    return;
  }
  const Stopwatch watch;
  StageProgress progress("images encoded");
  const bool on_disk = config_.cache.cache_latents_to_disk;
  // Files serve many runs: their noise does not follow from this run's seed.
  tensor::CounterDraws file_draws(0);
  const auto cache = [&](const data::Dataset& dataset, tensor::DrawSource& draws) {
    return pipeline::cache_latents({.dataset = dataset,
                                    .config = config_.cache,
                                    .vae = [this]() -> const models::Vae& { return vae(); },
                                    .vae_hash = on_disk ? models::weights_hash(*files_, models::Part::vae) : "",
                                    .draws = on_disk && !replay_ ? file_draws : draws,
                                    .progress = [&](int64_t done, int64_t total) { progress.update(done, total); }});
  };
  latents_ = cache(data_->training, *draws_);
  FixedDraws fixed_draws(data_->validation);
  validation_latents_ = config_.loop.validation_fixed_noise ? cache(data_->validation, fixed_draws)
                                                            : cache(data_->validation, *validation_draws_);
  log::info("{} images ready after {:.1f} s{}", data_->training.images().size() + data_->validation.images().size(),
            watch.seconds(), vae_ ? "" : "; the VAE was not loaded");
  if (wants_samples(config_.sample)) {
    vae();
  } else {
    vae_.reset();
  }
}

void Session::prepare_mmdit() {
  models::LoadOptions options = load_options(precision_.compute);
  if (config_.memory.blocks_to_swap.value_or(0) > 0)
    options.device = at::kCPU;  // it moves once everything is merged into it
  mmdit_.emplace(files_->part(models::Part::mmdit, options),
                 models::MMDiTOptions{.attn2_compat = has_compat(config_, "attn2")});
  log::info("model: {} with {} blocks of width {}", mmdit_->variant().title(), mmdit_->variant().depth,
            mmdit_->variant().width);
  if (config_.model.enable_scaled_pos_embed) {
    std::vector<std::pair<int64_t, int64_t>> resolutions;
    for (const auto& part : data_->training.parts()) {
      resolutions.emplace_back(part.config.resolution->width, part.config.resolution->height);
    }
    mmdit_->use_scaled_positions(nn::ScaledPositions(resolutions, mmdit_->variant().width));
  }
}

void Session::add_targets(std::vector<network::TargetLinear>& targets) {
  const auto collect = [&](TargetModel model) {
    return [&targets, model](const std::string& path, nn::Linear& layer) { targets.push_back({model, path, &layer}); };
  };
  auto& encoders = text_->encoders();
  if (encoders.has_clip()) {
    encoders.clip_l().visit_linears(collect(TargetModel::clip_l));
    encoders.clip_g().visit_linears(collect(TargetModel::clip_g));
  }
  if (encoders.has_t5()) encoders.t5().visit_linears(collect(TargetModel::t5));
  if (mmdit_) mmdit_->visit_linears(collect(TargetModel::mmdit));
}

void Session::build_network() {
  std::vector<network::TargetLinear> targets;
  add_targets(targets);
  if (!config_.network.base_weights.empty()) {
    std::vector<network::TargetLinear> mmdit_targets;
    std::copy_if(targets.begin(), targets.end(), std::back_inserter(mmdit_targets),
                 [](const auto& target) { return target.model == TargetModel::mmdit; });
    network::merge_base_weights(config_.network, mmdit_targets);
  }
  store_blocks_as_fp8(config_.memory, targets);
  network_ = network::create_network(config_.network, targets,
                                     {.seed = seed_,
                                      .device = device_,
                                      .dtype = precision_.lora,
                                      .compat_alpha_qkv = has_compat(config_, "alpha_qkv")});
  runner_ = place_mmdit(*mmdit_, config_.memory, device_, precision_.compute);
  if (trains_text(config_)) recompute_encoders(text_->encoders(), config_.memory, trains_t5(config_));
}

void Session::build_optimizer() {
  const auto traits = optim::optimizer_traits(config_.optimizer);
  groups_ = network_->param_groups(config_.learning_rates());
  if (groups_.empty()) {
    throw UsageError(
        "[learning rates] nothing to train: all learning rates are 0.\nHint: set --learning_rate or --unet_lr.");
  }
  optimizer_ = optim::create_optimizer(config_.optimizer, groups_, seed_);
  schedule_ = traits.own_schedule || traits.schedule_free
                  ? optim::constant_lr_schedule()
                  : optim::create_lr_schedule(config_.schedule, {.max_train_steps = plan_.max_steps,
                                                                 .learning_rate = config_.optimizer.learning_rate});
  if (const auto momentum = schedule_.momentum(0); momentum && !optimizer_->set_momentum(*momentum)) {
    log::warn("[--lr_scheduler_type] {} keeps its own momentum: only the learning rate is cycled.", traits.type);
  }
  scaler_.emplace(precision_.needs_loss_scaling);
  if (config_.loop.ema_decay > 0) average_.emplace(*network_, config_.loop.ema_decay);
  if (config_.loop.resume) restore(*config_.loop.resume, start_, run_parts());
  // Gradients of an unfinished step are the sum of all processes.
  if (!processes_->is_main()) at::Tensor(network_->flat_gradients()).zero_();
}

InputSources Session::input_sources() {
  InputSources sources;
  if (config_.cache.cache_latents) {
    sources.latents = latents_;
  } else {
    sources.vae = &*vae_;
  }
  sources.text = [this](const auto& captions, int64_t step) { return text_->outputs(captions, true, step); };
  sources.cache_holds_stored_captions = text_->is_cached() && config_.cache.cache_text_encoder_variants == 0;
  sources.text_is_read = text_->is_cached() && !trains_text(config_);
  sources.clip_l_width = text_->clip_l_width();
  sources.replay = replay_.get();
  sources.draws = draws_;
  sources.rng = tensor::CounterRng(seed_);
  sources.device = device_;
  return sources;
}

InputSources Session::validation_sources() {
  InputSources sources = input_sources();
  if (sources.latents) sources.latents = validation_latents_;
  sources.text = [this](const auto& captions, int64_t step) { return text_->outputs(captions, false, step); };
  sources.replay = nullptr;
  sources.draws = validation_draws_.get();
  return sources;
}

std::unique_ptr<SampleImages> Session::make_samples() {
  if (!wants_samples(config_.sample)) return nullptr;
  return std::make_unique<SampleImages>(SampleSetup{
      .config = config_,
      .mmdit = *mmdit_,
      .vae = *vae_,
      .text = [this](const auto& texts) { return text_->outputs(texts); },
      .prompts = text_->is_cached() ? prompts_ : std::vector<pipeline::SamplePrompt>(),
      .rng = tensor::CounterRng(seed_),
      .device = device_,
  });
}

/// The hashes of full-size model files take seconds, and the first save is far away: they are made meanwhile.
std::shared_future<io::Metadata> Session::start_metadata() {
  RunFacts facts{
      .model_type = mmdit_->variant().type_name(),
      .optimizer_description = optimizer_->description(),
      .dataset = data_->training.dataset_metadata(),
      .seed = seed_,
      .session_id = static_cast<int64_t>(
          tensor::CounterRng(static_cast<uint64_t>(started_at_ * 1e6)).bits({tensor::Purpose::sample_seed, 0, 0}, 0)),
      .started_at = started_at_};
  const auto make = [this, facts] { return training_metadata(config_, plan_, facts); };
  // Others write a file only if the main process is lost.
  return processes_->is_main() ? in_background(make) : std::async(std::launch::deferred, make);
}

void Session::train() {
  EncodedInputs inputs(config_.model, data_->training, input_sources());
  const tensor::CounterRng rng(seed_);
  const StepContext step{.flow = config_.flow,
                         .mmdit = *mmdit_,
                         .runner = *runner_,
                         .network = *network_,
                         .draws = *draws_,
                         .position_crop_rate = config_.model.pos_emb_random_crop_rate,
                         .rng = rng,
                         .timestep_dtype = has_compat(config_, "timesteps") ? precision_.compute : at::kFloat};
  const Validation validation(config_, data_->validation, validation_sources(), step);
  const auto samples = make_samples();
  const CheckpointWriter checkpoints(config_, precision_,
                                     {mmdit_->variant().type_name(), identity_, data_identity_, start_metadata()});
  const auto subtitle = fmt::format("{}, {} images, {} steps, seed {}", mmdit_->variant().title(),
                                    data_->training.images().size(), plan_.max_steps, seed_);
  auto observers = processes_->is_main()
                       ? make_observers(config_, plan_, describe_run(config_, subtitle, data_->training))
                       : std::make_unique<Observers>();
  std::vector<network::TargetLinear> layers;
  add_targets(layers);
  const ModuleProbe probe(std::move(layers));
  const StopSignals signals;
  Trainer(TrainerParts{.config = config_,
                       .plan = plan_,
                       .dataset = data_->training,
                       .replay = replay_.get(),
                       .inputs = inputs,
                       .step = step,
                       .run = run_parts(),
                       .groups = groups_,
                       .schedule = schedule_,
                       .checkpoints = checkpoints,
                       .samples = samples.get(),
                       .validation = validation.is_empty() ? nullptr : &validation,
                       .processes = *processes_,
                       .probe = probe,
                       .signals = signals,
                       .observers = *observers},
          start_)
      .run();
  if (processes_->is_main()) save_encoders(config_, *files_, checkpoints.folder() / save_at_end(config_.saving).model);
  processes_->barrier();
}

}  // namespace

void run_training(TrainConfig config) {
  check_train_config(config);
  if (config.data.debug_dataset) return show_batches(config, stdout);
  Session(std::move(config)).run();
}

void fill_caches(TrainConfig config) {
  check_train_config(config);
  // Caching for a run that trains CLIP needs no CLIP in the end.
  config.network.network_train_unet_only = true;
  Session(std::move(config)).fill_caches();
}

}  // namespace loraptor::train
