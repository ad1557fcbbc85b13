#include "train/trainer.h"

#include <fmt/ranges.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "optim/grad_clip.h"
#include "train/rate_log.h"

namespace loraptor::train {

Trainer::Trainer(TrainerParts parts, TrainState state) : parts_(std::move(parts)), state_(std::move(state)) {
  average_.restore(state_.losses);
}

void Trainer::run() {
  parts_.observers.start(state_);
  if (state_.step == 0 && parts_.config.sample.sample_at_first) sample("e000000");
  for (; state_.step < parts_.plan.max_steps; ++state_.epoch, state_.batch = 0) {
    if (state_.batch == parts_.plan.batches_per_epoch) continue;  // resumed from the end of an epoch
    parts_.observers.epoch_start(state_.epoch);
    train_epoch();
    after_epoch();
    if (state_.step >= parts_.plan.max_steps) break;
  }
  save(save_at_end(parts_.config.saving));
  parts_.observers.end(state_);
}

void Trainer::train_epoch() {
  auto plans = epoch_plans(state_.epoch);
  plans.erase(plans.begin(), plans.begin() + std::min<int64_t>(state_.batch, static_cast<int64_t>(plans.size())));
  data::DataLoader loader(parts_.dataset, std::move(plans),
                          {.epoch = state_.epoch,
                           .first_step = state_.step - parts_.plan.steps_in(state_.batch),
                           .first_batch = state_.batch,
                           .batches_per_step = parts_.plan.accumulation,
                           .with_pixels = parts_.inputs.needs_pixels(),
                           .workers = parts_.config.data.max_data_loader_n_workers});
  parts_.optimizer.train();
  while (state_.batch < parts_.plan.batches_per_epoch && state_.step < parts_.plan.max_steps) {
    if (!loader.has_next()) {
      throw UsageError(
          fmt::format("[--replay_draws] the recording ends: got {} micro-steps, expected more.\n"
                      "Hint: use the recorded run's --max_train_steps.",
                      state_.micro_step));
    }
    group_losses_.push_back(micro_step(loader.next()));
    average_.add(state_.epoch, state_.batch, group_losses_.back());
    const bool is_sync_point = parts_.plan.is_sync_point(state_.batch);
    ++state_.batch;
    ++state_.micro_step;
    if (is_sync_point) optimizer_step();
    limit_weight_norms();
    if (!is_sync_point) continue;
    report_step();
    after_step();
  }
}

/// Forward and backward of one batch; gradients add up in the network's flat buffer.
double Trainer::micro_step(const data::Batch& batch) {
  parts_.network.begin_micro_step(state_.micro_step);
  const auto loss = training_loss(parts_.step, parts_.inputs.encode(batch, state_.epoch, state_.micro_step));
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw RunError(
        fmt::format("[training] the loss is no number any more: got {} in step {} (images: {}).\n"
                    "Hint: a lower learning rate, --mixed_precision bf16 instead of fp16, or --max_grad_norm "
                    "1.0; the last saved state is still good.",
                    value, state_.step + 1, fmt::join(batch.stems, ", ")));
  }
  // A short group at the end of an epoch is divided by the full accumulation too, as the reference does.
  (loss * (parts_.scaler.scale() / static_cast<double>(parts_.plan.accumulation))).backward();
  return value;
}

/// Unscale, clip, update, clear. A step whose gradients overflowed under loss scaling updates nothing but is counted.
void Trainer::optimizer_step() {
  at::Tensor gradients = parts_.network.flat_gradients();
  const double norm = optim::clip_grad_norm(gradients, parts_.config.optimizer.max_grad_norm, parts_.scaler.scale());

  std::vector<double> rates;
  for (const auto& group : parts_.groups) rates.push_back(parts_.schedule(state_.updates, group.lr));
  if (parts_.scaler.update(norm)) {
    parts_.optimizer.step(rates);
    ++state_.updates;
  }
  gradients.zero_();
  ++state_.step;
  record_ = {};
  record_.grad_norm = norm;
  record_rates(parts_.optimizer, parts_.groups, rates, record_);
}

/// After every micro-step, as the reference does. Ref: sd-scripts@48d368f train_network.py:train
/// (max_norm_regularization).
void Trainer::limit_weight_norms() {
  const double limit = parts_.config.network.scale_weight_norms.value_or(0);
  if (limit <= 0) return;
  const auto report = parts_.network.limit_weight_norms(limit);
  record_.extras.insert(record_.extras.end(), {{"max_norm/keys_scaled", static_cast<double>(report.scaled)},
                                               {"norm/avg_key_norm", report.mean_norm},
                                               {"max_norm/max_key_norm", report.max_norm}});
}

void Trainer::report_step() {
  record_.step = state_.step;
  record_.epoch = state_.epoch;
  record_.loss =
      std::accumulate(group_losses_.begin(), group_losses_.end(), 0.0) / static_cast<double>(group_losses_.size());
  record_.average = average_.average();
  record_.seconds = since_step_.seconds();
  since_step_ = Stopwatch();
  group_losses_.clear();
  parts_.observers.step(record_);
}

void Trainer::after_step() {
  const auto& sample_config = parts_.config.sample;
  if (!sample_config.sample_every_n_epochs && sample_config.sample_every_n_steps &&
      state_.step % *sample_config.sample_every_n_steps == 0) {
    sample(fmt::format("{:06d}", state_.step));
  }
  save(save_after_step(parts_.config.saving, state_.step));
  const auto validate_every = parts_.config.loop.validate_every_n_steps;
  if (validate_every && state_.step % *validate_every == 0) validate(false);
}

void Trainer::after_epoch() {
  if (state_.epoch % parts_.config.loop.validate_every_n_epochs.value_or(1) == 0) validate(true);
  parts_.observers.epoch_end(state_.epoch, average_.average());
  save(save_after_epoch(parts_.config.saving, parts_.plan, state_.epoch));
  const auto every = parts_.config.sample.sample_every_n_epochs;
  if (every && state_.epoch % *every == 0) sample(fmt::format("e{:06d}", state_.epoch));
}

void Trainer::save(const SaveDecision& decision) {
  if (decision.model.empty()) return;
  state_.losses = average_.losses();
  const int64_t epoch = std::min(state_.epoch, parts_.plan.epochs);
  parts_.checkpoints.write(decision, {parts_.network, parts_.optimizer, parts_.scaler}, state_, epoch);
  parts_.observers.saved(parts_.checkpoints.folder() / decision.model);
}

/// Draws nothing from the training streams: images have generators of their own.
void Trainer::sample(const std::string& moment) {
  if (parts_.samples == nullptr) return;
  parts_.optimizer.eval();
  parts_.network.set_training(false);
  for (const auto& image : parts_.samples->generate(moment)) parts_.observers.sampled(state_.step, image);
  parts_.network.set_training(true);
  parts_.optimizer.train();
}

void Trainer::validate(bool is_epoch_end) {
  if (parts_.validation == nullptr) return;
  parts_.optimizer.eval();
  parts_.network.set_training(false);
  const double loss = parts_.validation->run();
  parts_.network.set_training(true);
  parts_.optimizer.train();
  parts_.observers.validated({.step = state_.step,
                              .epoch = state_.epoch,
                              .is_epoch_end = is_epoch_end,
                              .loss = loss,
                              .training = average_.average()});
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
