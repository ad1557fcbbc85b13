#include "cli/output_files.h"

#include <fmt/format.h>

#include "base/error.h"
#include "network/lora_file.h"

namespace loraptor::cli {
namespace {

namespace fs = std::filesystem;

bool is_same_file(const fs::path& a, const fs::path& b) {
  std::error_code code;
  if (fs::exists(a, code) && fs::exists(b, code)) return fs::equivalent(a, b, code);
  return fs::weakly_canonical(fs::absolute(a), code) == fs::weakly_canonical(fs::absolute(b), code);
}

}  // namespace

void add_file(std::vector<NamedFile>& files, const char* flag, const std::optional<std::string>& path) {
  if (path) files.push_back({flag, *path});
}

void check_outputs(const std::vector<NamedFile>& inputs, const std::vector<NamedFile>& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& output = outputs[i];
    const auto refuse_same = [&](const NamedFile& other, const char* what) {
      if (!is_same_file(output.path, other.path)) return;
      throw UsageError(
          fmt::format("[{}] got '{}', {} {}, expected another file.\nHint: give a new name; the old file "
                      "can be replaced afterwards.",
                      output.flag, output.path.string(), what, other.flag));
    };
    for (const auto& input : inputs) refuse_same(input, "which is read as");
    for (size_t j = 0; j < i; ++j) refuse_same(outputs[j], "which is written as");
    std::error_code code;
    if (fs::is_directory(output.path, code)) {
      throw UsageError(
          fmt::format("[{}] got '{}', which is a folder, expected a file.", output.flag, output.path.string()));
    }
  }
}

void leave_if_stopped(const StopSignals& signals, const std::string& what) {
  const int signal = signals.received();
  if (signal != 0) throw Stopped(signal, fmt::format("stopped by {}: {}.", signal_name(signal), what));
}

void write_lora(const std::filesystem::path& path, const io::NamedTensors& tensors, io::Metadata metadata) {
  const StopSignals signals(kStopNotice);
  network::write_lora_file(path, tensors, std::move(metadata));
  leave_if_stopped(signals, fmt::format("{} is complete", path.string()));
}

}  // namespace loraptor::cli
