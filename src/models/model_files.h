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
  std::filesystem::path path(Part part) const;

  /// Lets go of the file given for this part alone, so that its memory is free once no model reads from it any more.
  /// Asking for the part later opens it again.
  void close(Part part);

 private:
  struct Source {
    std::shared_ptr<const io::SafetensorsFile> file;
    TensorNames names;
  };
  struct Own {
    std::filesystem::path path;
    std::shared_ptr<const io::SafetensorsFile> file;  // null: closed
  };
  Source find(Part part) const;
  std::shared_ptr<const io::SafetensorsFile> opened(Part part, const Own& own) const;

  bool memory_map_ = true;
  std::shared_ptr<const io::SafetensorsFile> main_;
  std::map<Part, Own> own_;  // explicitly given
};

}  // namespace loraptor::models
