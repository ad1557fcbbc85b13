#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "optim/grad_clip.h"
#include "train/rate_log.h"

namespace loraptor::train {
namespace {

constexpr int64_t kSnapshotEvery = 100;
constexpr int64_t kMaxRollbacks = 3;

}  // namespace

Trainer::Trainer(TrainerParts parts, TrainState state) : parts_(std::move(parts)) {
  begin_at(state);
  last_state_ = parts_.config.loop.resume.value_or("");
}

void Trainer::run() {
  try {
    train_to_the_end();
  } catch (const dist::LostProcess& lost) {
    throw RunError(lost.what() + save_after_loss(lost));
  }
}

void Trainer::train_to_the_end() {
  parts_.observers.start(state_);
  if (parts_.config.loop.on_nan == "rollback") snapshot_.emplace(parts_.run, full_state());
  if (state_.micro_step == 0 && parts_.config.sample.sample_at_first) sample("e000000");
  for (bool is_trained = false; !is_trained;) {
    try {
      train_epochs();
      is_trained = true;
    } catch (const Divergence& divergence) {
      roll_back(divergence);
    }
  }
  save(save_at_end(parts_.config.saving));
  parts_.observers.end(state_);
}

/// Goes on from wherever `state_` stands: also at the end of an epoch, or between a step and what follows it.
void Trainer::train_epochs() {
  while (true) {
    parts_.observers.epoch_start(state_.epoch);
    train_epoch();
    run_events(kAfterEpoch);
    if (parts_.plan.is_over(state_.step, state_.epoch)) return;
    ++state_.epoch;
    state_.batch = 0;
    state_.events_done = kAfterStep;
  }
}

/// The batches of the epoch that this process computes.
data::DataLoader Trainer::make_loader() const {
  const auto plans = epoch_plans(state_.epoch);
  const int64_t rank = parts_.processes.rank(), count = static_cast<int64_t>(plans.size());
  std::vector<data::BatchPlan> own;
  for (int64_t batch = state_.batch; batch < count; batch += parts_.plan.round(batch)) {
    const int64_t mine = batch + rank;
    if (rank < parts_.plan.round(batch) && mine < count) own.push_back(plans[static_cast<size_t>(mine)]);
  }
  return {parts_.dataset,
          std::move(own),
          {.epoch = state_.epoch,
           .first_step = state_.step - parts_.plan.steps_in(state_.batch),
           .first_batch = state_.batch + rank,
           .batch_stride = parts_.plan.processes,
           .batches_per_step = parts_.plan.accumulation,
           .with_pixels = parts_.inputs.needs_pixels(),
           .workers = parts_.config.data.max_data_loader_n_workers}};
}

void Trainer::train_epoch() {
  const Stopwatch preparing;
  data::DataLoader loader = make_loader();
  meter_.waited_for_data(preparing.seconds());
  parts_.run.optimizer.train();
  run_events(kAfterStep);
  while (state_.batch < parts_.plan.batches_per_epoch && state_.step < parts_.plan.max_steps) {
    stop_if_asked();
    for (const double loss : micro_steps(loader)) {
      state_.group_losses.push_back(loss);
      average_.add(state_.epoch, state_.batch, loss);
      ++state_.batch;
      ++state_.micro_step;
    }
    const bool is_sync_point = parts_.plan.is_sync_point(state_.batch - 1);
    const int64_t updates = state_.updates;
    if (is_sync_point) optimizer_step();
    limit_weight_norms();
    if (parts_.run.average != nullptr && state_.updates != updates) parts_.run.average->update(state_.updates);
    state_.events_done = is_sync_point ? kStepSamples : kAfterStep;
    if (!is_sync_point) continue;
    finish_step();
    run_events(kAfterStep);
    save_for_recovery_if_due();
    take_snapshot_if_due();
  }
}

/// One batch in each process, side by side; fewer where the step or the epoch ends. Returns their losses in the order
/// of the batches, the same in all processes.
std::vector<double> Trainer::micro_steps(data::DataLoader& loader) {
  const int64_t count = parts_.plan.round(state_.batch), rank = parts_.processes.rank();
  double own = 0;
  std::optional<Divergence> lost;
  if (rank < count) {
    if (!loader.has_next()) {
      throw UsageError(
          fmt::format("[--replay_draws] the recording ends: got {} micro-steps, expected more.\n"
                      "Hint: use the recorded run's --max_train_steps.",
                      state_.micro_step));
    }
    const Stopwatch waiting;
    const data::Batch batch = loader.next();
    meter_.waited_for_data(waiting.seconds());
    try {
      own = micro_step(batch);
      meter_.waited_for_data(parts_.inputs.take_read_seconds());
    } catch (const Divergence& divergence) {
      lost = divergence;
      own = std::numeric_limits<double>::quiet_NaN();
    }
  }
  auto losses = parts_.processes.numbers(own);
  losses.resize(static_cast<size_t>(count));
  if (lost) throw *lost;
  for (const double loss : losses) {
    if (!std::isfinite(loss)) throw lost_loss(loss, lost_place({}, "a layer that another process names"));
  }
  return losses;
}

/// Forward and backward of one batch; gradients add up in the network's flat buffer.
double Trainer::micro_step(const data::Batch& batch) {
  const int64_t number = state_.micro_step + parts_.processes.rank();
  parts_.run.network.begin_micro_step(number);
  const auto forward = [&] { return training_loss(parts_.step, parts_.inputs.encode(batch, state_.epoch, number)); };
  const auto loss = forward();
  const double value = loss.mean.item<double>();
  if (!std::isfinite(value)) throw lost_loss(value, lost_place(batch.stems, parts_.probe.first_not_finite(forward)));
  // A short group at the end of an epoch is divided by the full accumulation too, as the reference does.
  const auto part = loss.mean * (parts_.run.scaler.scale() / static_cast<double>(parts_.plan.accumulation));
  if (part.requires_grad()) part.backward();  // not where module_dropout left out every module
  meter_.bands().add(loss);
  return value;
}

/// Unscale, clip, update, clear. A step whose gradients overflowed under loss scaling updates nothing but is counted.
void Trainer::optimizer_step() {
  constexpr double kSmallestScale = 1.0 / 16;  // 20 halvings from the first scale
  at::Tensor gradients = parts_.run.network.flat_gradients();
  parts_.processes.sum(gradients);
  auto& scaler = parts_.run.scaler;
  const double norm = optim::clip_grad_norm(gradients, parts_.config.optimizer.max_grad_norm, scaler.scale());
  if (!std::isfinite(norm) && (!scaler.enabled() || scaler.scale() <= kSmallestScale)) {
    const auto place = lost_place({}, module_of_lost_gradient(parts_.run.network));
    throw scaler.enabled() ? lost_scale(scaler.scale(), place) : lost_gradient(norm, place);
  }
  const double loss = std::accumulate(state_.group_losses.begin(), state_.group_losses.end(), 0.0) /
                      static_cast<double>(state_.group_losses.size());
  if (watch_.explodes(loss)) {
    throw exploded_loss(loss, watch_.median(), lost_place({}, module_of_largest_gradient(parts_.run.network)));
  }

  std::vector<double> rates;
  const double reduction = std::pow(0.5, static_cast<double>(state_.rollbacks));
  for (const auto& group : parts_.groups) rates.push_back(parts_.schedule(state_.updates, group.lr) * reduction);
  if (scaler.update(norm)) {
    if (const auto momentum = parts_.schedule.momentum(state_.updates)) parts_.run.optimizer.set_momentum(*momentum);
    parts_.run.optimizer.step(rates);
    ++state_.updates;
  }
  gradients.zero_();
  ++state_.step;
  record_ = {.loss = loss, .grad_norm = norm};
  record_rates(parts_.run.optimizer, parts_.groups, rates, record_);
}

/// After every micro-step, as the reference does. Ref: sd-scripts@48d368f train_network.py:train
/// (max_norm_regularization).
void Trainer::limit_weight_norms() {
  const double limit = parts_.config.network.scale_weight_norms.value_or(0);
  if (limit <= 0) return;
  const auto report = parts_.run.network.limit_weight_norms(limit);
  record_.extras.insert(record_.extras.end(), {{"max_norm/keys_scaled", static_cast<double>(report.scaled)},
                                               {"norm/avg_key_norm", report.mean_norm},
                                               {"max_norm/max_key_norm", report.max_norm}});
}

void Trainer::finish_step() {
  state_.group_losses.clear();
  // Before the processes exchange anything again: one that finds another lost saves weights and state of one step.
  whole_step_ = full_state();
  whole_step_.group_bands.clear();
  record_.step = state_.step;
  record_.epoch = state_.epoch;
  record_.average = average_.average();
  meter_.finish_step(record_, parts_.plan.max_steps - state_.step, parts_.processes);
  parts_.observers.step(record_);
}

/// What is still to be done of the Events before `until`.
void Trainer::run_events(Event until) {
  using Action = void (Trainer::*)();
  static constexpr std::array<Action, kAfterEpoch> kActions = {
      &Trainer::sample_after_step,    &Trainer::save_after_step, &Trainer::validate_after_step,
      &Trainer::validate_after_epoch, &Trainer::log_epoch,       &Trainer::save_after_epoch,
      &Trainer::sample_after_epoch};
  while (state_.events_done < until) {
    stop_if_asked();
    // Counted before it happens: a state that is saved in it is saved with itself done.
    const auto action = kActions[static_cast<size_t>(state_.events_done++)];
    (this->*action)();
  }
}

void Trainer::sample_after_step() {
  const auto& config = parts_.config.sample;
  if (config.sample_every_n_epochs || !config.sample_every_n_steps) return;
  if (state_.step % *config.sample_every_n_steps != 0) return;
  if (!sample(fmt::format("{:06d}", state_.step))) --state_.events_done;
}

void Trainer::save_after_step() { save(train::save_after_step(parts_.config.saving, state_.step)); }

void Trainer::validate_after_step() {
  const auto every = parts_.config.loop.validate_every_n_steps;
  if (every && state_.step % *every == 0) validate(false);
}

void Trainer::validate_after_epoch() {
  if (state_.epoch % parts_.config.loop.validate_every_n_epochs.value_or(1) == 0) validate(true);
}

void Trainer::log_epoch() { parts_.observers.epoch_end(state_.epoch, average_.average()); }

void Trainer::save_after_epoch() { save(train::save_after_epoch(parts_.config.saving, parts_.plan, state_.epoch)); }

void Trainer::sample_after_epoch() {
  const auto every = parts_.config.sample.sample_every_n_epochs;
  if (!every || state_.epoch % *every != 0) return;
  if (!sample(fmt::format("e{:06d}", state_.epoch))) --state_.events_done;
}

/// Draws nothing from the training streams: images have generators of their own. Returns false if a signal came before
/// the last image; after a resume the moment is then repeated.
bool Trainer::sample(const std::string& moment) {
  if (parts_.samples == nullptr) return true;
  const StepMeter::Pause pause(meter_);
  parts_.run.optimizer.eval();
  parts_.run.network.set_training(false);
  std::optional<std::vector<SampledImage>> images;
  const auto make = [&] {
    images = parts_.processes.is_main() ? parts_.samples->generate(moment, parts_.signals) : images.emplace();
  };
  parts_.run.average != nullptr ? parts_.run.average->while_in_place(make) : make();
  parts_.run.network.set_training(true);
  parts_.run.optimizer.train();
  if (parts_.processes.any(!images)) return false;
  for (const auto& image : *images) parts_.observers.sampled(state_.step, image);
  return true;
}

void Trainer::validate(bool is_epoch_end) {
  if (parts_.validation == nullptr) return;
  const StepMeter::Pause pause(meter_);
  parts_.run.optimizer.eval();
  parts_.run.network.set_training(false);
  const auto losses = parts_.validation->run(parts_.signals);
  parts_.run.network.set_training(true);
  parts_.run.optimizer.train();
  if (parts_.processes.any(!losses)) {
    --state_.events_done;  // a signal came: it is repeated after a resume
    return;
  }
  parts_.observers.validated({.step = state_.step,
                              .epoch = state_.epoch,
                              .is_epoch_end = is_epoch_end,
                              .loss = losses->loss,
                              .training = average_.average(),
                              .fixed = losses->fixed});
}

void Trainer::save(const SaveDecision& decision) {
  if (decision.model.empty() && !decision.state) return;
  const StepMeter::Pause pause(meter_);
  const int64_t epoch = std::min(state_.epoch, parts_.plan.epochs);
  if (!parts_.processes.is_main()) {
    // What writing does to the weights: the way to the evaluation point and back may round.
    if (!decision.model.empty()) parts_.run.optimizer.eval(), parts_.run.optimizer.train();
    return;
  }
  parts_.checkpoints.write(decision, parts_.run, full_state(), epoch);
  if (!decision.model.empty()) parts_.observers.saved(parts_.checkpoints.folder() / decision.model);
  if (!decision.state) return;
  last_state_ = (parts_.checkpoints.folder() / *decision.state).string();
  since_state_ = Stopwatch();
}

void Trainer::save_for_recovery_if_due() {
  const auto& loop = parts_.config.loop;
  if (!loop.auto_resume || since_state_.seconds() < 60 * loop.recovery_minutes) return;
  if (state_.step < parts_.plan.max_steps) save(save_for_recovery(parts_.config.saving));
}

/// Leaves nothing out: a state may also be saved in the middle of an accumulation group.
void Trainer::stop_if_asked() {
  const auto signals = parts_.processes.numbers(parts_.signals.received());
  const int signal = static_cast<int>(*std::max_element(signals.begin(), signals.end()));
  if (signal == 0) return;
  const auto decision = save_at_stop(parts_.config.saving);
  if (!state_.group_losses.empty()) {
    parts_.processes.sum(parts_.run.network.flat_gradients());
    meter_.bands().sum_over(parts_.processes);
  }
  save(decision);
  parts_.observers.stopped(state_);
  throw Stopped(signal,
                fmt::format("[training] stopped by {} after step {} of {}; saved: {} and {}.\nHint: to go on, give the "
                            "same command {}.",
                            signal_name(signal), state_.step, parts_.plan.max_steps,
                            (parts_.checkpoints.folder() / decision.model).string(), last_state_,
                            parts_.config.loop.auto_resume ? "again" : "with --resume " + last_state_));
}

/// The first of the processes that are left saves the last whole step for all. Returns what to add to the message.
std::string Trainer::save_after_loss(const dist::LostProcess& lost) {
  const auto decision = save_at_stop(parts_.config.saving);
  const auto state = parts_.checkpoints.folder() / decision.state.value_or("");
  if (!lost.is_heir() || !whole_step_.group_losses.empty()) return "";
  parts_.run.optimizer.train();
  parts_.checkpoints.write(decision, parts_.run, whole_step_, std::min(whole_step_.epoch, parts_.plan.epochs));
  return fmt::format("\nSaved after step {}: {}", whole_step_.step, state.string());
}

TrainState Trainer::full_state() const {
  TrainState state = state_;
  state.losses = average_.losses();
  state.group_bands = meter_.bands().numbers();
  watch_.save(state);
  return state;
}

void Trainer::begin_at(const TrainState& state) {
  state_ = state;
  average_.restore(state.losses);
  // Where a step was begun by several processes, the state holds the sums of all.
  meter_.bands().restore(parts_.processes.is_main() ? state.group_bands : std::vector<double>());
  watch_.restore(state);
  whole_step_ = state;
}

LostPlace Trainer::lost_place(std::vector<std::string> stems, std::string module) const {
  return {state_.step + 1, std::move(stems), std::move(module), last_state_, parts_.config.loop.on_nan == "rollback"};
}

void Trainer::take_snapshot_if_due() {
  if (snapshot_ && state_.step % kSnapshotEvery == 0 && watch_.is_calm()) snapshot_.emplace(parts_.run, full_state());
}

/// Back to the last good state with half the learning rates; the same draws then take another course.
void Trainer::roll_back(const Divergence& divergence) {
  if (!snapshot_) throw divergence;
  if (state_.rollbacks == kMaxRollbacks) {
    throw Divergence(fmt::format("{}\nNo further return: {} times the learning rates were halved already.",
                                 divergence.what(), kMaxRollbacks));
  }
  TrainState good = snapshot_->put_back(parts_.run);
  good.rollbacks = state_.rollbacks + 1;
  begin_at(good);
  log::warn("{}\n[--on_nan] back to step {}, learning rates divided by {} from here on.", divergence.what(),
            state_.step, int64_t{1} << state_.rollbacks);
  parts_.observers.rolled_back(state_);
}

std::vector<data::BatchPlan> Trainer::epoch_plans(int64_t epoch) const {
  if (parts_.replay == nullptr) return parts_.dataset.epoch(epoch);
  const auto& recorded = parts_.replay->batches();
  const auto first = static_cast<size_t>((epoch - 1) * parts_.plan.batches_per_epoch);
  const size_t last = std::min(recorded.size(), first + static_cast<size_t>(parts_.plan.batches_per_epoch));
  std::vector<data::BatchPlan> plans;
  for (size_t i = first; i < last; ++i) plans.push_back(data::plan_from_stems(parts_.dataset, recorded[i]));
  return plans;
}

}  // namespace loraptor::train
