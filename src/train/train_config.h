// All settings of one training run: the folders' structs composed, and those of the loop itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/data_config.h"
#include "flow/flow_config.h"
#include "memory/memory_config.h"
#include "models/model_config.h"
#include "network/network_config.h"
#include "optim/optimizer_config.h"
#include "optim/schedule_config.h"
#include "pipeline/cache_config.h"

namespace loraptor::train {

/// Length of the run, seeds, resume, validation. Field names are the flags' names without dashes.
struct LoopConfig {
  int64_t max_train_steps = 1600;                  // optimizer steps
  std::optional<int64_t> max_train_epochs;         // epochs; wins over the steps
  int64_t gradient_accumulation_steps = 1;         // micro-steps per optimizer step
  std::optional<int64_t> seed;                     // unset: a random one, which is recorded
  std::optional<int64_t> initial_epoch;            // epoch to start at, from 1
  std::optional<int64_t> initial_step;             // step to start at; wins over the epoch and a resumed state
  bool skip_until_initial_step = false;            // really skip that many batches
  std::optional<std::string> resume;               // folder of a saved state
  bool auto_resume = false;                        // go on with what an earlier run left in the output folder
  double recovery_minutes = 10;                    // time between recovery states, with auto_resume
  std::string on_nan = "stop";                     // stop | rollback: what follows a loss that is lost
  double ema_decay = 0;                            // share an average of the weights keeps a step; 0: no average
  std::optional<int64_t> validate_every_n_steps;   // also validate at multiples of this step
  std::optional<int64_t> validate_every_n_epochs;  // validate after every n-th epoch; unset: every epoch
  std::optional<int64_t> max_validation_steps;     // upper limit of validation batches
  bool validation_fixed_noise = false;             // a second validation with draws that are the same in all runs
  std::optional<std::string> replay_draws;         // file with the run's random draws (a diagnostic)
  std::optional<int64_t> cpu_threads;              // threads of the tensor library; unset: its own choice
  std::string device = "auto";                     // auto | cpu | cuda
  std::optional<int64_t> num_processes;            // to start on this machine; unset: what the environment says
};

/// Model files and states that are written. Field names are the flags' names without dashes.
struct SaveConfig {
  std::optional<std::string> output_dir;            // folder of everything that is written
  std::optional<std::string> output_name;           // base name of the model files
  std::string save_model_as = "safetensors";        // file format
  std::optional<std::string> save_precision;        // float | fp16 | bf16; unset: as trained
  bool no_metadata = false;                         // keep only six ss_* fields
  std::optional<int64_t> save_every_n_epochs;       // save after every n-th epoch but the last
  std::optional<int64_t> save_every_n_steps;        // save after every n-th step
  std::optional<int64_t> save_n_epoch_ratio;        // every max(1, epochs / ratio) epochs; wins
  std::optional<int64_t> save_last_n_epochs;        // delete older epoch files
  std::optional<int64_t> save_last_n_epochs_state;  // the same for state folders
  std::optional<int64_t> save_last_n_steps;         // delete step files older than this many steps
  std::optional<int64_t> save_last_n_steps_state;   // the same for state folders
  bool save_state = false;                          // save a state with every model, and at the end
  bool save_state_on_train_end = false;             // save a state at the end only
  bool save_clip = false;                           // write the merged CLIP encoders beside the final LoRA
  bool save_t5xxl = false;                          // write the merged T5 beside the final LoRA
};

/// Values of modelspec.* metadata. Field names are the flags' names without dashes.
struct ModelSpecConfig {
  std::optional<std::string> metadata_title;                  // unset: output_name
  std::optional<std::string> metadata_author;                 // who made it
  std::optional<std::string> metadata_description;            // what it is
  std::optional<std::string> metadata_license;                // its licence
  std::optional<std::string> metadata_tags;                   // comma-separated tags
  std::optional<std::string> metadata_usage_hint;             // how to use it
  std::optional<std::string> metadata_thumbnail;              // data URL, or image file that becomes one
  std::optional<std::string> metadata_merged_from;            // where it came from
  std::optional<std::string> metadata_trigger_phrase;         // trigger words
  std::optional<std::string> metadata_preprocessor;           // preprocessor
  std::optional<std::string> metadata_is_negative_embedding;  // true or false
  std::map<std::string, std::string> other;  // further metadata_<key> of a configuration file, by <key>
};

/// Sample images during training. Field names are the flags' names without dashes.
struct SampleConfig {
  std::optional<std::string> sample_prompts;     // .txt, .toml or .json file
  std::optional<int64_t> sample_every_n_steps;   // images every n steps
  std::optional<int64_t> sample_every_n_epochs;  // images after every n-th epoch; wins
  bool sample_at_first = false;                  // also before training
};

/// Console and log files. Field names are the flags' names without dashes.
struct LoggingConfig {
  std::optional<std::string> logging_dir;        // TensorBoard folder
  std::optional<std::string> log_with;           // tensorboard
  std::optional<std::string> log_prefix;         // before the run folder's time stamp
  std::optional<std::string> log_tracker_name;   // tracker subfolder; unset: network_train
  bool log_config = false;                       // log the options as hyper-parameters
  std::optional<std::string> console_log_level;  // DEBUG | INFO | WARNING | ERROR | CRITICAL; unset: INFO
  std::optional<std::string> console_log_file;   // log lines go to this file
  bool console_log_simple = false;               // plain lines on standard output
  std::optional<std::string> log_json;           // JSON-lines file of all metrics
  std::optional<std::string> log_html;           // self-contained report page
};

/// A setting that is not a default, for people to read.
struct GivenSetting {
  std::string name;    // option name, no dashes
  std::string value;   // as Python prints it
  std::string origin;  // "command line", or the file's name
};

/// Everything a training run is told. Constant once checked.
struct TrainConfig {
  models::ModelConfig model;
  flow::FlowConfig flow;
  network::NetworkConfig network;
  optim::OptimizerConfig optimizer;
  optim::ScheduleConfig schedule;
  data::DataConfig data;
  pipeline::CacheConfig cache;
  memory::MemoryConfig memory;
  LoopConfig loop;
  SaveConfig saving;
  ModelSpecConfig model_spec;
  SampleConfig sample;
  LoggingConfig logging;

  network::LearningRates learning_rates() const {
    return {optimizer.learning_rate, optimizer.unet_lr, optimizer.text_encoder_lr};
  }

  /// Where each setting that is not a default came from: option name (no dashes) -> "command line" | the file's name.
  std::map<std::string, std::string> origins;
  /// The same settings with their values, in the order of the option table.
  std::vector<GivenSetting> given;
  /// All settings, defaults included, in the same order; for `log_config`.
  std::vector<GivenSetting> all;
  /// Options without effect that the metadata record, name after ss_ -> value, given or default, as Python prints it.
  std::map<std::string, std::string> recorded;
};

}  // namespace loraptor::train
