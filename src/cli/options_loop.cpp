// Options of the training loop: length, seeds, resume, validation.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> loop_options() {
  return group(
      "Run, resume and validation",
      {
          option("--max_train_steps", FIELD(loop.max_train_steps), "Optimizer steps of the run."),
          option("--max_train_epochs", FIELD(loop.max_train_epochs), "Epochs of the run; wins over --max_train_steps."),
          option("--gradient_accumulation_steps", FIELD(loop.gradient_accumulation_steps),
                 "Micro-steps per optimizer step."),
          option("--seed", FIELD(loop.seed), "Seed of all random draws; default: a random one, which is recorded."),
          option("--initial_epoch", FIELD(loop.initial_epoch), "Epoch to start at, counted from 1."),
          option("--initial_step", FIELD(loop.initial_step),
                 "Steps that count as done; wins over --initial_epoch and the step of a resumed state."),
          option("--skip_until_initial_step", FIELD(loop.skip_until_initial_step),
                 "Leave out the batches before that step; otherwise its epoch is trained from the beginning."),
          option("--resume", FIELD(loop.resume), "Folder of a saved state to continue from."),
          option("--validate_every_n_steps", FIELD(loop.validate_every_n_steps), "Validate at multiples of this step."),
          option("--validate_every_n_epochs", FIELD(loop.validate_every_n_epochs),
                 "Validate after every n-th epoch; default: after each."),
          option("--max_validation_steps", FIELD(loop.max_validation_steps), "Limit of batches per validation."),
          option("--device", FIELD(loop.device), "Where to train; auto: the GPU if there is one.")
              .one_of({"auto", "cpu", "cuda"})
              .addition(),
          option("--cpu_threads", FIELD(loop.cpu_threads), "Threads of tensor operations; default: one per core.")
              .addition(),
          option("--replay_draws", FIELD(loop.replay_draws),
                 "Diagnostic: take the random draws of the run from this file instead of drawing them.")
              .addition(),
      });
}

}  // namespace loraptor::cli
