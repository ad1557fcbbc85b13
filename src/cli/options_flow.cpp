// Options of flow matching and of the loss.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> flow_options() {
  return group(
      "Timesteps and loss",
      {
          option("--weighting_scheme", FIELD(flow.weighting_scheme),
                 "logit_normal and mode change how timesteps are drawn; sigma_sqrt and cosmap weight the loss.")
              .one_of({"sigma_sqrt", "logit_normal", "mode", "cosmap", "none", "uniform"}),
          option("--logit_mean", FIELD(flow.logit_mean), "Mean of logit_normal."),
          option("--logit_std", FIELD(flow.logit_std), "Standard deviation of logit_normal."),
          option("--mode_scale", FIELD(flow.mode_scale), "Scale of mode."),
          option("--training_shift", FIELD(flow.training_shift),
                 "Shift of the timesteps; above 1 favours noisy ones. Sample images keep theirs of 3."),
          option("--min_timestep", FIELD(flow.min_timestep), "Lower end of the timesteps; default: 0."),
          option("--max_timestep", FIELD(flow.max_timestep), "Upper end of the timesteps, exclusive; default: 1000."),
          option("--loss_type", FIELD(flow.loss_type), "Loss of a latent's element.")
              .one_of({"l1", "l2", "huber", "smooth_l1"}),
          option("--huber_schedule", FIELD(flow.huber_schedule),
                 "Threshold of huber and smooth_l1 over the timesteps; snr does not exist for SD3.")
              .one_of({"constant", "exponential", "snr"}),
          option("--huber_c", FIELD(flow.huber_c), "Threshold of huber and smooth_l1."),
          option("--huber_scale", FIELD(flow.huber_scale), "Multiplies the threshold."),
      });
}

}  // namespace loraptor::cli
