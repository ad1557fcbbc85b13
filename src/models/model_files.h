// The checkpoint files of a run, and which of them each model comes from.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "models/checkpoint_reader.h"
#include "models/model_config.h"

namespace loraptor::models {

/// Opens the files that the flags name. An explicitly given encoder or VAE file wins over the copy in the main file.
class ModelFiles {
 public:
  /// Maps every file that is given and checks its header; reads no weights.
  /// Throws UsageError if there is no main file in `config`, FileError for a missing or malformed file.
  static ModelFiles open(const ModelConfig& config);

  /// Whether some file holds the part.
  bool has(Part part) const;

  /// Throws UsageError naming the flag to give if no file holds the part, FileError if the file that was given for it
  /// does not.
  PartReader part(Part part, LoadOptions options) const;

  /// The file that `part` reads from; throws like it.
  const std::filesystem::path& path(Part part) const;

 private:
  struct Source {
    std::shared_ptr<const io::SafetensorsFile> file;
    TensorNames names;
  };
  Source find(Part part) const;

  std::shared_ptr<const io::SafetensorsFile> main_;
  std::map<Part, std::shared_ptr<const io::SafetensorsFile>> own_;  // explicitly given
};

}  // namespace loraptor::models
