// Options of optimizer and learning-rate schedule.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> optimizer_options() {
  return group(
      "Optimizer and learning rate",
      {
          option("--optimizer_type", FIELD(optimizer.optimizer_type), "Name of the optimizer; default: AdamW."),
          option("--optimizer_args", FIELD(optimizer.optimizer_args),
                 "key=value settings of the optimizer, such as weight_decay=0.01 betas=0.9,0.99."),
          option("--use_8bit_adam", FIELD(optimizer.use_8bit_adam), "Old spelling of --optimizer_type AdamW8bit."),
          option("--use_lion_optimizer", FIELD(optimizer.use_lion_optimizer), "Old spelling of --optimizer_type Lion."),
          option("--learning_rate", FIELD(optimizer.learning_rate), "Base learning rate."),
          option("--unet_lr", FIELD(optimizer.unet_lr),
                 "Learning rate of the MMDiT; default: --learning_rate; 0: it is not trained."),
          option("--text_encoder_lr", FIELD(optimizer.text_encoder_lr),
                 "Learning rates of CLIP-L, CLIP-G and T5, or one for all; 0: not trained."),
          option("--max_grad_norm", FIELD(optimizer.max_grad_norm), "Limit of the gradient norm; 0: none."),
          option("--fused_backward_pass", FIELD(optimizer.fused_backward_pass), "")
              .no_effect("network training never fuses the optimizer step"),
          option("--lr_scheduler", FIELD(schedule.lr_scheduler),
                 "constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial, inverse_sqrt, "
                 "cosine_with_min_lr, warmup_stable_decay or piecewise_constant."),
          option("--lr_scheduler_type", FIELD(schedule.lr_scheduler_type),
                 "A class of torch.optim.lr_scheduler; wins over --lr_scheduler."),
          option("--lr_scheduler_args", FIELD(schedule.lr_scheduler_args), "key=value settings of the schedule."),
          option("--lr_warmup_steps", FIELD(schedule.lr_warmup_steps),
                 "Warm-up in optimizer steps, as a fraction below 1 or as N% of the run."),
          option("--lr_decay_steps", FIELD(schedule.lr_decay_steps),
                 "Decay of warmup_stable_decay, in the same units."),
          option("--lr_scheduler_num_cycles", FIELD(schedule.lr_scheduler_num_cycles),
                 "Restarts of cosine_with_restarts; half waves of cosine_with_min_lr and warmup_stable_decay."),
          option("--lr_scheduler_power", FIELD(schedule.lr_scheduler_power), "Exponent of polynomial."),
          option("--lr_scheduler_timescale", FIELD(schedule.lr_scheduler_timescale),
                 "Time scale of inverse_sqrt; default: the warm-up, or 10000 without one."),
          option("--lr_scheduler_min_lr_ratio", FIELD(schedule.lr_scheduler_min_lr_ratio),
                 "Floor as a fraction of the learning rate, for cosine_with_min_lr (also as min_lr=1e-6, a rate, in "
                 "--lr_scheduler_args) and warmup_stable_decay."),
      });
}

}  // namespace loraptor::cli
