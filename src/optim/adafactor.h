// Adafactor: second moments of matrices kept as row and column means.
#pragma once

#include <memory>

#include "optim/optimizer_factory.h"

namespace loraptor::optim {

/// Arguments: eps (1e-30, 1e-3), clip_threshold 1, decay_rate -0.8, beta1 None, weight_decay 0, scale_parameter True,
/// relative_step True (the reference's default), warmup_init False. With relative_step the optimizer sets its own
/// learning rate, min(1e-2 or 1e-6 t, 1/sqrt(t)); the statistic "lr" is the one of the last step. warmup_init without
/// relative_step turns relative_step on.
/// Ref: arXiv:1804.04235; transformers 4.54 optimization.py:Adafactor; sd-scripts@48d368f
/// library/train_util.py:get_optimizer.
std::unique_ptr<Optimizer> make_adafactor(OptimizerRequest& request);

/// Whether these arguments make Adafactor set its own learning rate.
bool adafactor_sets_lr(KeywordArgs args);

}  // namespace loraptor::optim
