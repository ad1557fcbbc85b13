// Runs a test with another working folder, and writes small files and images into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "support/temp_folder.h"

namespace loraptor::test {

/// A temporary folder that is the working folder while the object lives.
class WorkingFolder {
 public:
  WorkingFolder();
  ~WorkingFolder();
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;
  const std::filesystem::path& path() const { return folder_.path(); }

  /// Copies a folder of the golden data to a place of the same name here.
  void copy_golden(const std::string& sub, const std::string& name);

 private:
  TempFolder folder_;
  std::filesystem::path before_;
};

/// A JSON file of the golden data folder; null if the golden set has none of that name.
nlohmann::json golden_data(const std::string& name);

/// A list of such a file; empty if the file has none of that name.
nlohmann::json list_of(const nlohmann::json& file, const std::string& name);

/// Writes a PNG of one colour; its folder is made.
void write_image(const std::filesystem::path& path, int64_t width, int64_t height, uint8_t value = 128);

/// Writes a text file; its folder is made.
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace loraptor::test
