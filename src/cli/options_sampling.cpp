// Options of sample images.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> sampling_options() {
  return group("Sample images",
               {
                   option("--sample_prompts", FIELD(sample.sample_prompts), "Prompt file: .txt, .toml or .json."),
                   option("--sample_every_n_steps", FIELD(sample.sample_every_n_steps), "Make images every n steps."),
                   option("--sample_every_n_epochs", FIELD(sample.sample_every_n_epochs),
                          "Make images after every n-th epoch; wins over --sample_every_n_steps."),
                   option("--sample_at_first", FIELD(sample.sample_at_first), "Also make images before training."),
               });
}

}  // namespace loraptor::cli
