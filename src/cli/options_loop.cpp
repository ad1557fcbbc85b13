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
          option(
              "--auto_resume", FIELD(loop.auto_resume),
              "Go on with what an earlier run of this --output_name left in --output_dir, from its newest state that "
              "is whole; a finished run ends at once. Saves a state at the end, and recovery states meanwhile.")
              .addition(),
          option("--recovery_minutes", FIELD(loop.recovery_minutes),
                 "Minutes between recovery states, with --auto_resume: what a crash costs at most.")
              .addition(),
          option("--on_nan", FIELD(loop.on_nan),
                 "When the loss or gradient is no number any more, or the loss explodes: stop, or go back to the last "
                 "good state with half the learning rates (rollback, three times at most).")
              .one_of({"stop", "rollback"})
              .addition(),
          option(
              "--ema_decay", FIELD(loop.ema_decay),
              "Keep a moving average of the LoRA, such as 0.999: saved beside each LoRA as NAME_ema, and what sample "
              "images show; 0: none.")
              .addition(),
          option("--validate_every_n_steps", FIELD(loop.validate_every_n_steps), "Validate at multiples of this step."),
          option("--validate_every_n_epochs", FIELD(loop.validate_every_n_epochs),
                 "Validate after every n-th epoch; default: after each."),
          option("--max_validation_steps", FIELD(loop.max_validation_steps), "Limit of batches per validation."),
          option("--validation_fixed_noise", FIELD(loop.validation_fixed_noise),
                 "Validate also with noise and timesteps that are the same in all runs, so that their curves compare.")
              .addition(),
          option("--device", FIELD(loop.device), "Where to train; auto: the GPU if there is one.")
              .one_of({"auto", "cpu", "cuda"})
              .addition(),
          option(
              "--num_processes", FIELD(loop.num_processes),
              "Start this many processes on this machine, which share out the batches; for several machines: torchrun "
              "or `accelerate launch`.")
              .addition(),
          option("--cpu_threads", FIELD(loop.cpu_threads), "Threads of tensor operations; default: one per core.")
              .addition(),
          option("--replay_draws", FIELD(loop.replay_draws),
                 "Diagnostic: take the random draws of the run from this file instead of drawing them.")
              .addition(),
      });
}

}  // namespace loraptor::cli
