#include "models/activation_dropout.h"

#include "base/hash.h"

namespace loraptor::models {

at::Tensor ActivationDropout::mask(std::string_view place, at::IntArrayRef shape) const {
  const tensor::DrawKey key{tensor::Purpose::t5_dropout, static_cast<uint64_t>(micro_step), xxh3(std::string(place))};
  return rng.uniform(key, shape).ge(rate).to(at::kFloat).mul_(1 / (1 - rate));
}

at::Tensor ActivationDropout::apply(const at::Tensor& x, std::string_view place) const {
  if (!is_on()) return x;
  return x * mask(place, x.sizes()).to(x.device(), x.scalar_type());
}

}  // namespace loraptor::models
