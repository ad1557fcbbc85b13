#include "train/divergence.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace loraptor::train {
namespace {

constexpr size_t kRemembered = 64, kEnough = 16;  // steps
constexpr double kFar = 100;                      // times the median
constexpr int64_t kInARow = 5;

Divergence make_divergence(const std::string& fact, const LostPlace& place) {
  std::string where = fmt::format("in step {}", place.step);
  if (!place.stems.empty()) where += fmt::format(" (images: {})", fmt::join(place.stems, ", "));
  if (!place.module.empty()) where += "; it begins in " + place.module;
  const std::string state = place.good_state.empty() ? "no state was saved before"
                                                     : fmt::format("--resume {} goes on before it", place.good_state);
  return Divergence(fmt::format(
      "[training] {} {}.\nHint: a lower learning rate or a longer warm-up, --mixed_precision bf16 instead of "
      "fp16, --max_grad_norm 1.0{}; files saved earlier are untouched, {}.",
      fact, where, place.rolls_back ? "" : ", or --on_nan rollback", state));
}

}  // namespace

double LossWatch::median() const {
  if (recent_.empty()) return 0;
  std::vector<double> sorted = recent_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool LossWatch::explodes(double loss) {
  const bool is_far = recent_.size() >= kEnough && loss > kFar * median();
  far_ = is_far ? far_ + 1 : 0;
  recent_.push_back(loss);
  if (recent_.size() > kRemembered) recent_.erase(recent_.begin());
  return far_ >= kInARow;
}

void LossWatch::save(TrainState& state) const {
  state.recent_losses = recent_;
  state.far_losses = far_;
}

void LossWatch::restore(const TrainState& state) {
  recent_ = state.recent_losses;
  far_ = state.far_losses;
}

Divergence lost_loss(double loss, const LostPlace& place) {
  return make_divergence(fmt::format("the loss is no number any more: got {}, expected a finite one,", loss), place);
}

Divergence lost_gradient(double norm, const LostPlace& place) {
  return make_divergence(fmt::format("the gradient is no number any more: got norm {}, expected a finite one,", norm),
                         place);
}

Divergence lost_scale(double scale, const LostPlace& place) {
  return make_divergence(
      fmt::format("float16 gradients overflow at every loss scale: got down to {:g}, expected a scale that fits,",
                  scale),
      place);
}

Divergence exploded_loss(double loss, double median, const LostPlace& place) {
  return make_divergence(
      fmt::format("the loss explodes: got {:.4g} after {} steps above {} times its median {:.4g}, expected a loss "
                  "near that,",
                  loss, kInARow, kFar, median),
      place);
}

}  // namespace loraptor::train
