// Loss scaling for float16.
#include "optim/grad_scaler.h"

#include <cmath>

#include "base/error.h"

namespace loraptor::optim {
namespace {

constexpr int64_t kGrowthInterval = 2000;

}  // namespace

bool GradScaler::update(double grad_norm) {
  if (!enabled_) return true;
  if (!std::isfinite(grad_norm)) {
    scale_ *= 0.5;
    good_steps_ = 0;
    return false;
  }
  if (++good_steps_ == kGrowthInterval) {
    scale_ *= 2;
    good_steps_ = 0;
  }
  return true;
}

std::map<std::string, at::Tensor> GradScaler::state_dict() const {
  return {{"scale", at::scalar_tensor(scale_, at::kDouble)},
          {"good_steps", at::scalar_tensor(static_cast<double>(good_steps_), at::kDouble)}};
}

void GradScaler::load_state_dict(const std::map<std::string, at::Tensor>& state) {
  for (const char* key : {"scale", "good_steps"}) {
    if (!state.count(key)) throw RunError(std::string("[loss scaler state] tensor '") + key + "' is missing.");
  }
  scale_ = state.at("scale").item<double>();
  good_steps_ = static_cast<int64_t>(state.at("good_steps").item<double>());
}

}  // namespace loraptor::optim
