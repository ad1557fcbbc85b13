#include "train/snapshot.h"

#include <ATen/core/grad_mode.h>

namespace loraptor::train {

Snapshot::Snapshot(const RunParts& parts, TrainState state)
    : state_(std::move(state)),
      values_(parts.network.flat_values().detach().clone()),
      gradients_(parts.network.flat_gradients().detach().clone()),
      average_(parts.average != nullptr ? parts.average->values().clone() : at::Tensor()),
      optimizer_(parts.optimizer.state_dict()),
      scaler_(parts.scaler.state_dict()) {}

TrainState Snapshot::put_back(const RunParts& parts) const {
  const at::NoGradGuard no_grad;
  at::Tensor(parts.network.flat_values()).copy_(values_);
  at::Tensor(parts.network.flat_gradients()).copy_(gradients_);
  if (parts.average != nullptr) parts.average->restore(average_);
  parts.optimizer.load_state_dict(optimizer_);
  if (parts.scaler.enabled()) parts.scaler.load_state_dict(scaler_);
  return state_;
}

}  // namespace loraptor::train
