// How much each noise level counts in the loss.
#pragma once

#include <ATen/ATen.h>

#include "flow/flow_config.h"

namespace loraptor::flow {

/// Factor of each sample's loss.
///   sigma   [B,1,1,1]
/// Returns float32 [B,1,1,1]: sigma^-2 for `sigma_sqrt` (sigma taken as at least 1/1000, so timestep 0 stays finite),
/// 2 / (pi (1 - 2 sigma + 2 sigma^2)) for `cosmap`, 1 otherwise.
/// Ref: arXiv:2403.03206 section 3.1; sd-scripts@48d368f library/sd3_train_utils.py:compute_loss_weighting_for_sd3.
at::Tensor loss_weighting(const FlowConfig& config, const at::Tensor& sigma);

}  // namespace loraptor::flow
