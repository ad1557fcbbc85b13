#include "report/jsonl_log.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"

namespace loraptor::report {

namespace {

/// The lines of an earlier run up to a step; a line that was cut off by a crash is left out.
std::string earlier_lines(const std::filesystem::path& path, int64_t last_step) {
  if (last_step == 0 || !std::filesystem::exists(path)) return "";
  std::istringstream text(read_file(path));
  std::string kept;
  for (std::string line; std::getline(text, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const bool has_step = json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (has_step && json["step"].get<int64_t>() <= last_step) kept += line + "\n";
  }
  return kept;
}

}  // namespace

JsonlLog::JsonlLog(const std::filesystem::path& path, int64_t first_step) : path_(path) {
  write_file(path, earlier_lines(path, first_step));
  file_ = std::fopen(path.c_str(), "a");
  if (file_ == nullptr) throw FileError(path, fmt::format("log cannot be opened: {}.", std::strerror(errno)));
}

JsonlLog::~JsonlLog() { std::fclose(file_); }

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
  write_line(line.dump());
}

void JsonlLog::write_validation(int64_t step, int64_t epoch, const NamedNumbers& losses) {
  nlohmann::ordered_json line = {{"step", step}, {"epoch", epoch}};
  for (const auto& [name, value] : losses) line["validation"][name] = value;
  write_line(line.dump());
}

void JsonlLog::write_line(const std::string& line) {
  const std::string text = line + "\n";
  if (std::fputs(text.c_str(), file_) < 0 || std::fflush(file_) != 0) {
    throw FileError(path_, fmt::format("log cannot be written: {}.", std::strerror(errno)));
  }
}

}  // namespace loraptor::report
