// --log_json: one JSON object a line, one line per optimizer step, and per validation with fixed noise
// (docs/formats.md).
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include "report/metric.h"

namespace loraptor::report {

class JsonlLog {
 public:
  /// Begins the file anew, or goes on with it after `first_step` > 0: then lines of later steps, which a run that was
  /// stopped had still written, are dropped. Throws FileError.
  JsonlLog(const std::filesystem::path& path, int64_t first_step);
  ~JsonlLog();
  JsonlLog(const JsonlLog&) = delete;
  JsonlLog& operator=(const JsonlLog&) = delete;

  /// Writes and flushes a line. Throws FileError when the disk is full.
  void write(const StepRecord& record);
  /// A validation after `step`: its losses by name.
  void write_validation(int64_t step, int64_t epoch, const NamedNumbers& losses);

 private:
  void write_line(const std::string& line);

  std::filesystem::path path_;
  std::FILE* file_;
};

}  // namespace loraptor::report
