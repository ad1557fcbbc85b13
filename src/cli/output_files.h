// What the commands on files write: never over what they read, and whole or not at all.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/signals.h"
#include "io/safetensors.h"

namespace loraptor::cli {

/// A file and the flag (or the word of the usage) that names it.
struct NamedFile {
  std::string flag;
  std::filesystem::path path;
};

/// Appends a file if the flag was given.
void add_file(std::vector<NamedFile>& files, const char* flag, const std::optional<std::string>& path);

/// Throws UsageError, with both flags, if an output is the same file as an input or as another output (links are
/// followed; hard links count too), and for an output that is a folder. Reads no file.
void check_outputs(const std::vector<NamedFile>& inputs, const std::vector<NamedFile>& outputs);

/// Throws Stopped if a signal has arrived.
///   what   became of the output, e.g. "out.safetensors was not written"
void leave_if_stopped(const StopSignals& signals, const std::string& what);

/// The text of StopSignals in these commands.
inline constexpr const char* kStopNotice = "\nstopping: no unfinished file is left; a second signal leaves at once\n";

/// network::write_lora_file; a signal meanwhile ends the command after it, so that no temporary file stays.
void write_lora(const std::filesystem::path& path, const io::NamedTensors& tensors, io::Metadata metadata);

}  // namespace loraptor::cli
