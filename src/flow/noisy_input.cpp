// The straight path between latents and noise.
#include "flow/noisy_input.h"

#include "base/error.h"

namespace loraptor::flow {

at::Tensor sigma(const at::Tensor& timesteps, at::ScalarType dtype) {
  LORAPTOR_ASSERT(timesteps.dim() == 1);
  return (timesteps.to(dtype) / 1000).view({-1, 1, 1, 1});  // [B] -> [B,1,1,1]
}

at::Tensor round_timesteps(const at::Tensor& timesteps, at::ScalarType dtype) {
  return timesteps.to(dtype).to(at::kFloat);
}

at::Tensor noisy_latents(const at::Tensor& latents, const at::Tensor& noise, const at::Tensor& sigma) {
  LORAPTOR_ASSERT(latents.sizes() == noise.sizes() && sigma.dim() == 4 && sigma.size(0) == latents.size(0));
  return sigma * noise + (1 - sigma) * latents;
}

at::Tensor model_prediction(const at::Tensor& noisy, const at::Tensor& sigma, const at::Tensor& velocity) {
  return noisy.to(at::kFloat) - sigma.to(at::kFloat) * velocity.to(at::kFloat);
}

}  // namespace loraptor::flow
