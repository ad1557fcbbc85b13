#include "train/observers.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/parallel.h"
#include "report/html_report.h"
#include "report/jsonl_log.h"
#include "report/progress_bar.h"
#include "report/tensorboard.h"
#include "train/logged_config.h"
#include "train/training_images.h"

namespace loraptor::train {
namespace {

/// "Keys Scaled=3, Average key norm=0.12, " with --scale_weight_norms, else nothing.
std::string weight_norms(const report::NamedNumbers& extras) {
  std::string text;
  for (const auto& [name, value] : extras) {
    if (name == "max_norm/keys_scaled") text += fmt::format("Keys Scaled={}, ", value);
    if (name == "norm/avg_key_norm") text += fmt::format("Average key norm={:.3g}, ", value);
  }
  return text;
}

/// The reference's console: a line per epoch, and the progress line with the average loss.
class ConsoleObserver : public TrainObserver {
 public:
  explicit ConsoleObserver(const TrainPlan& plan) : plan_(plan) {}
  void start(const TrainState& state) override { bar_.emplace("steps", plan_.max_steps, state.step); }
  void epoch_start(int64_t epoch) override {
    log::info("epoch {}/{}", epoch, plan_.epochs);
    seconds_ = data_seconds_ = 0;
  }
  void step(const report::StepRecord& record) override {
    seconds_ += record.seconds;
    data_seconds_ += record.data_seconds;
    bar_->update(record.step, fmt::format("{}avr_loss={:.3g}", weight_norms(record.extras), record.average));
  }
  void validated(const ValidationRecord& record) override {
    log::info("validation loss {:.4g} after step {} (training average {:.4g}){}", record.loss, record.step,
              record.training, record.fixed ? fmt::format("; with fixed noise {:.6g}", *record.fixed) : "");
  }
  void epoch_end(int64_t epoch, double average) override {
    log::info("epoch {}/{} ends: average loss {:.4g}, {} in steps, {:.1f} % of it waiting for data", epoch,
              plan_.epochs, average, format_duration(seconds_), seconds_ > 0 ? 100 * data_seconds_ / seconds_ : 0);
  }
  void rolled_back(const TrainState& state) override { start(state); }
  void stopped(const TrainState&) override { bar_.reset(); }
  void end(const TrainState&) override { bar_.reset(); }

 private:
  TrainPlan plan_;
  double seconds_ = 0, data_seconds_ = 0;  // of the epoch's steps
  std::optional<report::ProgressBar> bar_;
};

class JsonObserver : public TrainObserver {
 public:
  explicit JsonObserver(std::filesystem::path path) : path_(std::move(path)) {}
  void start(const TrainState& state) override {
    log_.emplace(path_, state.step,
                 report::PendingValidations{.epoch = state.epoch,
                                            .of_step = state.events_done <= kStepValidation,
                                            .of_epoch = state.events_done <= kEpochValidation});
  }
  void step(const report::StepRecord& record) override {
    if (log_) log_->write(record);
  }
  void validated(const ValidationRecord& record) override {
    // Programs that read the log expect a line per step; other lines only come to those who ask for fixed draws.
    if (!record.fixed || !log_) return;
    const auto moment = record.is_epoch_end ? report::ValidationMoment::epoch : report::ValidationMoment::step;
    log_->write_validation(record.step, record.epoch, moment, {{"loss", record.loss}, {"fixed", *record.fixed}});
  }
  void rolled_back(const TrainState& state) override {
    if (!is_stream(path_)) start(state);  // a reader has its lines already, and may end when a pipe is closed
  }

 private:
  std::filesystem::path path_;
  std::optional<report::JsonlLog> log_;  // nothing where it could not be begun anew after a return to an earlier state
};

class TensorBoardObserver : public TrainObserver {
 public:
  explicit TensorBoardObserver(const std::filesystem::path& folder) : log_(folder) {}
  void step(const report::StepRecord& record) override { log_.step(record); }
  void epoch_end(int64_t epoch, double average) override { log_.epoch(epoch, average); }
  void validated(const ValidationRecord& record) override {
    const std::string kind = record.is_epoch_end ? "loss/validation/epoch_" : "loss/validation/step_";
    const int64_t axis = record.is_epoch_end ? record.epoch : record.step;
    log_.scalar(kind + "average", record.loss, axis);
    log_.scalar(kind + "divergence", record.loss - record.training, axis);
    const char* fixed_tag = record.is_epoch_end ? "loss/validation_fixed/epoch" : "loss/validation_fixed/step";
    if (record.fixed) log_.scalar(fixed_tag, *record.fixed, axis);
  }

 private:
  report::TensorBoardLog log_;
};

class HtmlObserver : public TrainObserver {
 public:
  HtmlObserver(std::filesystem::path path, report::ReportSettings settings)
      : path_(std::move(path)), settings_(std::move(settings)) {}
  void start(const TrainState& state) override {
    settings_.first_step = state.step;
    page_.emplace(path_, settings_);
  }
  void step(const report::StepRecord& record) override { page_->step(record); }
  void sampled(int64_t step, const SampledImage& image) override {
    page_->sample(
        {.prompt = image.prompt, .moment = image.moment, .step = step, .image = image.path, .number = image.number});
  }
  void saved(const std::filesystem::path& path) override { page_->saved(path); }
  void rolled_back(const TrainState& state) override { page_->drop_after(state.step); }
  void stopped(const TrainState&) override { page_->write(); }
  void end(const TrainState&) override { page_->finish(); }

 private:
  std::filesystem::path path_;
  report::ReportSettings settings_;
  std::optional<report::HtmlReport> page_;
};

}  // namespace

RunDescription describe_run(const TrainConfig& config, std::string subtitle, const data::Dataset& dataset) {
  report::SummarySection given{.title = "Settings", .rows = {}};
  for (const auto& setting : config.given) given.rows.push_back({setting.name, setting.value, setting.origin});
  RunDescription run{.subtitle = std::move(subtitle), .settings = {std::move(given)}};
  // The first step does not wait for them.
  if (config.logging.log_html) {
    run.images = in_background([&dataset] { return training_images(dataset); });
  }
  return run;
}

std::unique_ptr<Observers> make_observers(const TrainConfig& config, const TrainPlan& plan, const RunDescription& run) {
  auto observers = std::make_unique<Observers>();
  observers->add(std::make_unique<ConsoleObserver>(plan));
  const auto& logging = config.logging;
  if (logging.log_json) observers->add(std::make_unique<JsonObserver>(*logging.log_json));
  if (logging.logging_dir) {
    const auto folder = report::tensorboard_folder(*logging.logging_dir, logging.log_prefix.value_or(""),
                                                   logging.log_tracker_name.value_or(""));
    observers->add(std::make_unique<TensorBoardObserver>(folder));
    if (logging.log_config) log_config(config, folder);
  }
  if (logging.log_html) {
    observers->add(std::make_unique<HtmlObserver>(
        *logging.log_html, report::ReportSettings{.title = config.saving.output_name.value_or("LoRA"),
                                                  .subtitle = run.subtitle,
                                                  .total_steps = plan.max_steps,
                                                  .total_epochs = plan.epochs,
                                                  .settings = run.settings,
                                                  .images = run.images}));
  }
  return observers;
}

void StageProgress::update(int64_t done, int64_t total) {
  constexpr double kSecondsBetweenLines = 5;
  const double now = watch_.seconds();
  if (now - last_line_ < kSecondsBetweenLines || done == 0) return;
  last_line_ = now;
  const double left = now / static_cast<double>(done) * static_cast<double>(total - done);
  log::info("{}: {} of {}, {} left", what_, done, total, format_duration(left));
}

}  // namespace loraptor::train
