#include "train/output_check.h"

#include <fmt/format.h>

#include <system_error>
#include <vector>

#include "base/append_file.h"
#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/error.h"
#include "report/tensorboard.h"
#include "train/checkpoint_policy.h"
#include "train/sample_images.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

/// Takes back the folders that a try makes above `path`: the run makes them again when it needs them, and one that
/// fails before leaves none.
class NewFolders {
 public:
  explicit NewFolders(const fs::path& path) {
    std::error_code code;
    for (auto folder = path.parent_path(); !folder.empty() && !fs::exists(folder, code); folder = folder.parent_path())
      folders_.push_back(folder);
  }
  ~NewFolders() {
    std::error_code code;
    for (const auto& folder : folders_) fs::remove(folder, code);  // the innermost first; one in use stays
  }
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

 private:
  std::vector<fs::path> folders_;
};

/// Under the temporary name that the real one will have too; nothing that is there already is touched.
void try_file(const fs::path& path) {
  const NewFolders made(path);
  AtomicFile(path).write("\n");
}

void try_folder(const fs::path& path) {
  const NewFolders made(path);
  const AtomicFolder folder(path);
}

template <class Attempt>
void expect_success(const char* flags, Attempt attempt) {
  try {
    attempt();
  } catch (const FileError& error) {
    throw FileError(error, fmt::format("choose another {}.", flags));
  }
}

void try_saving(const SaveConfig& saving, bool has_average) {
  const fs::path folder = saving.output_dir.value_or(".");
  // Names of epochs are shorter than those of a stop.
  for (const auto& decision :
       {save_at_end(saving), save_at_stop(saving), save_after_step(saving, saving.save_every_n_steps.value_or(0))}) {
    if (decision.model.empty()) continue;
    try_file(folder / decision.model);
    if (has_average) try_file(folder / average_file(decision.model));
    if (decision.state) try_folder(folder / *decision.state);
  }
}

void try_tensorboard(const LoggingConfig& logging) {
  const auto run = report::tensorboard_folder(*logging.logging_dir, logging.log_prefix.value_or(""),
                                              logging.log_tracker_name.value_or(""));
  const NewFolders made(run.parent_path());
  const AtomicFolder outer(run.parent_path());
  const AtomicFolder inner(outer.path() / run.filename());
  try_file(inner.path() / "hparams.yml");
}

}  // namespace

void check_outputs(const TrainConfig& config) {
  expect_success("--output_dir or --output_name", [&] { try_saving(config.saving, config.loop.ema_decay > 0); });
  if (wants_samples(config.sample)) {
    expect_success("--output_dir or --output_name, below which sample images go",
                   [&] { try_file(sample_file(config.saving, "e000000", 0, {})); });
  }
  const auto& logging = config.logging;
  // Opening a pipe would wait for its reader, or end it.
  if (logging.log_json && !is_stream(*logging.log_json))
    expect_success("--log_json", [&] { try_file(*logging.log_json); });
  if (logging.log_html) expect_success("--log_html", [&] { try_file(*logging.log_html); });
  if (logging.logging_dir) {
    expect_success("--logging_dir, --log_prefix or --log_tracker_name", [&] { try_tensorboard(logging); });
  }
}

}  // namespace loraptor::train
