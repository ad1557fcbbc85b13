// TensorBoard event files: scalars and texts in TFRecord framing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/append_file.h"

namespace loraptor::io {

/// A setting as TensorBoard tells them apart.
using HparamValue = std::variant<bool, double, std::string>;

/// One event file, `events.out.tfevents.<time>.<host>.<process>.0` in a folder.
/// Ref: tensorflow/core/util/event.proto, core/lib/io/record_writer.cc (format).
class EventFile {
 public:
  /// Creates the folder and the file. Throws FileError.
  explicit EventFile(const std::filesystem::path& folder);

  /// Appends a scalar; it is visible to readers at once. Throws FileError; the records before stay readable then.
  void add_scalar(const std::string& tag, double value, int64_t step);
  /// Appends a text, shown (as Markdown) under TensorBoard's "Text".
  void add_text(const std::string& tag, const std::string& text, int64_t step);

  /// Writes the run's settings for TensorBoard's "HParams" page, which shows one row a folder.
  /// Ref: tensorboard/plugins/hparams/plugin_data.proto, api.proto.
  void add_hparams(const std::vector<std::pair<std::string, HparamValue>>& values);

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void write_summary(const std::string& value, int64_t step);
  void write_record(const std::string& event);

  AppendFile file_;
};

/// CRC32C (Castagnoli) of bytes, and TFRecord's masked form.
uint32_t crc32c(const std::string& bytes);
uint32_t masked_crc32c(const std::string& bytes);

}  // namespace loraptor::io
