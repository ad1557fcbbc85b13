// Clipping of gradients to a global 2-norm.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace loraptor::optim {

/// Scales gradients in place by min(1, max_norm / (norm + 1e-6)).
///   flat_grads   the flat gradients, one or several, on one device; together they have the norm
///   max_norm     limit; 0 or less: nothing is scaled
///   scale        what the gradients were multiplied by (fp16 loss scaling): they are divided by it first
/// Returns the norm before clipping and after unscaling; infinite or NaN gradients give such a norm and are left so.
/// Ref: torch.nn.utils.clip_grad_norm_.
double clip_grad_norm(at::TensorList flat_grads, double max_norm, double scale = 1);

/// The norm alone.
double grad_norm(at::TensorList flat_grads);

}  // namespace loraptor::optim
