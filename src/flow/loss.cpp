// The training loss.
#include "flow/loss.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace loraptor::flow {
namespace {

bool uses_huber(const FlowConfig& config) { return config.loss_type == "huber" || config.loss_type == "smooth_l1"; }

}  // namespace

void check_loss_config(const FlowConfig& config) {
  if (config.loss_type != "l2" && config.loss_type != "l1" && !uses_huber(config)) {
    throw UsageError(
        fmt::format("[--loss_type] unknown loss: got '{}', expected l1, l2, huber or smooth_l1.", config.loss_type));
  }
  if (!uses_huber(config) || config.huber_schedule == "constant" || config.huber_schedule == "exponential") return;
  throw UsageError(
      fmt::format("[--huber_schedule] schedule does not work with flow matching: got '{}' with --loss_type {}, "
                  "expected constant or "
                  "exponential.\nHint: add --huber_schedule constant (or exponential).",
                  config.huber_schedule, config.loss_type));
}

at::Tensor huber_c_per_sample(const FlowConfig& config, const at::Tensor& timesteps) {
  check_loss_config(config);
  if (config.huber_schedule == "constant") return at::full_like(timesteps, config.huber_c * config.huber_scale);
  return at::exp(timesteps * (std::log(config.huber_c) / 1000)) * config.huber_scale;
}

at::Tensor pointwise_loss(const FlowConfig& config, const at::Tensor& prediction, const at::Tensor& target,
                          const at::Tensor& timesteps) {
  check_loss_config(config);
  const auto difference = prediction.to(at::kFloat) - target.to(at::kFloat);
  if (config.loss_type == "l2") return difference.square();
  if (config.loss_type == "l1") return difference.abs();
  auto c = huber_c_per_sample(config, timesteps).to(difference.device()).view({-1, 1, 1, 1});  // [B] -> [B,1,1,1]
  const auto distance = 2 * (at::sqrt(difference.square() + c.square()) - c);
  return config.loss_type == "huber" ? c * distance : distance;
}

at::Tensor sample_losses(const FlowConfig& config, const at::Tensor& prediction, const at::Tensor& target,
                         const LossTerms& terms) {
  LORAPTOR_ASSERT(prediction.sizes() == target.sizes() && prediction.dim() == 4);
  auto loss = pointwise_loss(config, prediction, target, terms.timesteps);
  if (terms.weighting.defined()) loss = loss * terms.weighting.to(loss.device());
  if (terms.mask.defined()) {
    const auto full = terms.mask.to(loss.device(), at::kFloat).unsqueeze(1);  // [B,H,W] -> [B,1,H,W]
    loss = loss * at::adaptive_avg_pool2d(full, {loss.size(2), loss.size(3)});
  }
  auto per_sample = loss.mean({1, 2, 3});  // [B,C,h,w] -> [B]
  if (terms.loss_weights.defined()) per_sample = per_sample * terms.loss_weights.to(loss.device());
  return per_sample;
}

}  // namespace loraptor::flow
