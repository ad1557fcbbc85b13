// --log_json: one JSON object a line, one line per optimizer step, and per validation with fixed noise
// (docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/append_file.h"
#include "report/metric.h"

namespace loraptor::report {

/// What a validation follows.
enum class ValidationMoment { step, epoch };

/// Validations after the first step of a log that goes on, which are still to come: lines of theirs are dropped.
struct PendingValidations {
  int64_t epoch = 0;
  bool of_step = false;
  bool of_epoch = false;
};

class JsonlLog {
 public:
  /// Begins the file anew, or goes on with it after `first_step` > 0: then lines of later steps, which a run that was
  /// stopped had still written, are dropped, and those of `pending`. A pipe or device is only
  /// written to. Throws FileError.
  JsonlLog(const std::filesystem::path& path, int64_t first_step, const PendingValidations& pending = {});

  /// Writes a line. Throws FileError when the disk is full; the lines before stay whole then.
  void write(const StepRecord& record);
  /// A validation after `step`: its losses by name.
  void write_validation(int64_t step, int64_t epoch, ValidationMoment moment, const NamedNumbers& losses);

 private:
  AppendFile file_;
};

}  // namespace loraptor::report
