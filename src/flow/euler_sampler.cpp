// Sampling: noise levels, guidance, Euler steps.
#include "flow/euler_sampler.h"

#include "base/error.h"

namespace loraptor::flow {
namespace {

constexpr double kShift = 3.0;

at::Tensor shifted(const at::Tensor& timesteps) {
  const auto t = timesteps / 1000;
  return kShift * t / (1 + (kShift - 1) * t);
}

}  // namespace

std::vector<double> sample_sigmas(int64_t steps) {
  LORAPTOR_ASSERT(steps > 0);
  const auto ends = shifted(at::tensor({1000.0f, 1.0f})) * 1000;
  const auto timesteps = at::linspace(ends[0].item<float>(), ends[1].item<float>(), steps, at::kFloat);
  const auto levels = shifted(timesteps).to(at::kDouble);
  std::vector<double> sigmas(levels.data_ptr<double>(), levels.data_ptr<double>() + steps);
  sigmas.push_back(0);
  return sigmas;
}

at::Tensor guided(const at::Tensor& positive, const at::Tensor& negative, double scale) {
  return negative + scale * (positive - negative);
}

at::Tensor skip_layer_guided(const at::Tensor& guided, const at::Tensor& positive, const at::Tensor& skipped,
                             double scale) {
  return guided + scale * (positive - skipped);
}

at::Tensor euler_step(const at::Tensor& x, const at::Tensor& velocity, double sigma, double next_sigma) {
  LORAPTOR_ASSERT(sigma > 0 && x.sizes() == velocity.sizes());
  const auto start = x.to(at::kFloat);
  const auto denoised = start - sigma * velocity.to(at::kFloat);
  return (start + (start - denoised) / sigma * (next_sigma - sigma)).to(x.scalar_type());
}

}  // namespace loraptor::flow
