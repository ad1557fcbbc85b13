// The metrics of a run as TensorBoard scalars.
#include "report/tensorboard.h"

#include <cctype>

#include "base/clock.h"

namespace loraptor::report {

std::string learning_rate_tag(const std::string& group) {
  std::string tag = "lr/";
  for (size_t i = 0; i < group.size(); ++i) {
    if (group[i] != ' ') {
      tag += group[i];
      continue;
    }
    const size_t next = group.find_first_not_of(' ', i);
    // A number belongs to the word before it: "textencoder 1". At the end blanks mean nothing.
    if (next == std::string::npos) break;
    if (!std::isdigit(static_cast<unsigned char>(group[next]))) tag += '_';
    i = next - 1;
  }
  return tag;
}

std::filesystem::path tensorboard_folder(const std::filesystem::path& logging_dir, const std::string& prefix,
                                         const std::string& tracker) {
  return logging_dir / (prefix + local_time_stamp()) / (tracker.empty() ? "network_train" : tracker);
}

void TensorBoardLog::step(const StepRecord& record) {
  file_.add_scalar("loss/current", record.loss, record.step);
  file_.add_scalar("loss/average", record.average, record.step);
  for (const auto& [group, rate] : record.lrs) file_.add_scalar(learning_rate_tag(group), rate, record.step);
  file_.add_scalar("grad_norm", record.grad_norm, record.step);
  file_.add_scalar("images_per_second", record.images_per_second(), record.step);
  for (const auto& [band, loss] : record.timestep_losses) file_.add_scalar("loss/timestep_" + band, loss, record.step);
  for (const auto& [tag, value] : record.extras) file_.add_scalar(tag, value, record.step);
}

void TensorBoardLog::epoch(int64_t epoch, double average_loss) {
  file_.add_scalar("loss/epoch_average", average_loss, epoch);
}

}  // namespace loraptor::report
