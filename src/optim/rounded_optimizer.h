// Parameters stored in 16 bits: updates are computed in float32 and rounded when they are stored.
#pragma once

#include <functional>
#include <memory>

#include "optim/optimizer.h"

namespace loraptor::optim {

using OptimizerMaker = std::function<std::unique_ptr<Optimizer>(std::vector<ParamGroup>&)>;

/// An optimizer for groups whose flat buffers are bfloat16 or float16. It runs another one on float32 copies. bfloat16
/// values are rounded stochastically, so that updates below half a unit in the last place count on average; the draws
/// depend on seed, step and element only. float16 values are rounded to the nearest.
std::unique_ptr<Optimizer> make_rounded_optimizer(std::vector<ParamGroup>& groups, uint64_t seed,
                                                  const OptimizerMaker& make_inner);

/// float32 -> bfloat16, upwards with the probability that the value lies nearer to its upper neighbour.
///   uniform   float32, same shape, in [0,1)
at::Tensor round_stochastically(const at::Tensor& x, const at::Tensor& uniform);

}  // namespace loraptor::optim
