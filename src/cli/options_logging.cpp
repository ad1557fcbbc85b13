// Options of logs.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> logging_options() {
  return group(
      "Logs",
      {
          option("--logging_dir", FIELD(logging.logging_dir), "Folder of TensorBoard logs."),
          option("--log_with", FIELD(logging.log_with), "tensorboard; wandb and all are refused.")
              .one_of({"tensorboard", "wandb", "all"}),
          option("--log_prefix", FIELD(logging.log_prefix), "Put before the time stamp of the run's log folder."),
          option("--log_tracker_name", FIELD(logging.log_tracker_name),
                 "Folder inside the run's log folder; default: network_train."),
          option("--log_config", FIELD(logging.log_config),
                 "Also write all options (no paths) to the TensorBoard folder, as hyper-parameters and hparams.yml."),
          option("--log_json", FIELD(logging.log_json), "File that gets each metric as a line of JSON.").addition(),
          option("--log_html", FIELD(logging.log_html), "File that gets a report page of the run.").addition(),
          option("--console_log_level", FIELD(logging.console_log_level),
                 "Lowest level that is printed; default: INFO.")
              .one_of({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}),
          option("--console_log_file", FIELD(logging.console_log_file),
                 "Write log lines to this file, not to the terminal."),
          option("--console_log_simple", FIELD(logging.console_log_simple), "Plain log lines on standard output."),
      });
}

}  // namespace loraptor::cli
