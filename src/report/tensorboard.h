// The metrics of a run as TensorBoard scalars (--logging_dir).
#pragma once

#include <filesystem>
#include <string>

#include "io/tfevents.h"
#include "report/metric.h"

namespace loraptor::report {

/// Tags: `loss/current`, `loss/average`, `lr/<group>` (as `learning_rate_tag` spells it), `grad_norm`, the record's
/// extras, and `loss/epoch_average` over epochs.
/// Ref: sd-scripts@48d368f train_network.py:generate_step_logs, with its doubled and trailing-blank names mended.
class TensorBoardLog {
 public:
  /// Throws FileError if the folder or the event file cannot be made.
  explicit TensorBoardLog(const std::filesystem::path& folder) : file_(folder) {}

  const std::filesystem::path& path() const { return file_.path(); }
  void step(const StepRecord& record);
  void epoch(int64_t epoch, double average_loss);
  void scalar(const std::string& tag, double value, int64_t step) { file_.add_scalar(tag, value, step); }
  void text(const std::string& tag, const std::string& text) { file_.add_text(tag, text, 0); }

 private:
  io::EventFile file_;
};

/// "unet" -> "lr/unet", "textencoder 1 " -> "lr/textencoder1", "unet plus" -> "lr/unet_plus".
std::string learning_rate_tag(const std::string& group);

/// `<logging_dir>/<prefix><YYYYMMDDhhmmss>/<tracker>`, the folder of a run that starts now.
std::filesystem::path tensorboard_folder(const std::filesystem::path& logging_dir, const std::string& prefix,
                                         const std::string& tracker);

}  // namespace loraptor::report
