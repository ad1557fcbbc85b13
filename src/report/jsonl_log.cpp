#include "report/jsonl_log.h"

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/atomic_file.h"

namespace loraptor::report {
namespace {

const char* name_of(ValidationMoment moment) { return moment == ValidationMoment::step ? "step" : "epoch"; }

bool is_pending(const nlohmann::json& line, const PendingValidations& pending) {
  if (line.value("epoch", int64_t{0}) != pending.epoch) return false;
  const auto after = line.value("after", "");
  return (pending.of_step && after == name_of(ValidationMoment::step)) ||
         (pending.of_epoch && after == name_of(ValidationMoment::epoch));
}

/// Whether a line is of an earlier run up to a step; one that was cut off by a crash is not.
bool is_kept(const nlohmann::json& line, int64_t last_step, const PendingValidations& pending) {
  try {
    const auto step = line.at("step").get<int64_t>();
    return step < last_step || (step == last_step && !is_pending(line, pending));
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

/// Puts the file in place with the lines that stay. A pipe or device has none.
std::filesystem::path begun(const std::filesystem::path& path, int64_t last_step, const PendingValidations& pending) {
  if (is_stream(path)) return path;
  std::string kept;
  if (last_step > 0 && std::filesystem::exists(path)) {
    std::istringstream text(read_file(path));
    for (std::string line; std::getline(text, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (is_kept(json, last_step, pending)) kept += line + "\n";
    }
  }
  write_file(path, kept);
  return path;
}

}  // namespace

JsonlLog::JsonlLog(const std::filesystem::path& path, int64_t first_step, const PendingValidations& pending)
    : file_(begun(path, first_step, pending)) {}

void JsonlLog::write(const StepRecord& record) {
  nlohmann::ordered_json line = {
      {"step", record.step}, {"epoch", record.epoch}, {"loss", record.loss}, {"average", record.average}};
  line["lr"] = nlohmann::ordered_json::object();
  for (const auto& [group, rate] : record.lrs) line["lr"][group] = rate;
  line["grad_norm"] = record.grad_norm;
  line["seconds"] = record.seconds;
  line["data_seconds"] = record.data_seconds;
  line["seconds_left"] = record.seconds_left;
  line["images"] = record.images;
  line["images_per_second"] = record.images_per_second();
  line["peak_memory"] = record.peak_memory;
  line["timestep_losses"] = nlohmann::ordered_json::object();
  for (const auto& [band, loss] : record.timestep_losses) line["timestep_losses"][band] = loss;
  for (const auto& [name, value] : record.extras) line["extras"][name] = value;
  file_.write(line.dump() + "\n");
}

void JsonlLog::write_validation(int64_t step, int64_t epoch, ValidationMoment moment, const NamedNumbers& losses) {
  nlohmann::ordered_json line = {{"step", step}, {"epoch", epoch}, {"after", name_of(moment)}};
  for (const auto& [name, value] : losses) line["validation"][name] = value;
  file_.write(line.dump() + "\n");
}

}  // namespace loraptor::report
