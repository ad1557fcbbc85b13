// Runs a test with another working folder.
#include "data/working_folder.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "io/image.h"
#include "support/golden.h"

namespace loraptor::test {

namespace fs = std::filesystem;

WorkingFolder::WorkingFolder() : before_(fs::current_path()) { fs::current_path(folder_.path()); }

WorkingFolder::~WorkingFolder() { fs::current_path(before_); }

void WorkingFolder::copy_golden(const std::string& sub, const std::string& name) {
  fs::path from = golden_folder();
  if (from.is_relative()) from = before_ / from;
  fs::create_directories(path());
  fs::copy(from / sub / name, path() / name, fs::copy_options::recursive);
  fs::permissions(path() / name, fs::perms::owner_all, fs::perm_options::add);
  for (const auto& entry : fs::recursive_directory_iterator(from / sub / name)) {
    if (entry.is_regular_file()) mark_golden_read(entry.path());
    const fs::path copy = path() / fs::relative(entry.path(), from / sub);
    fs::permissions(copy, fs::perms::owner_write, fs::perm_options::add);
  }
}

nlohmann::json golden_data(const std::string& name) {
  const fs::path path = golden_folder() / "data" / name;
  return fs::exists(path) ? read_golden_json(path) : nlohmann::json();
}

nlohmann::json list_of(const nlohmann::json& file, const std::string& name) {
  return file.is_object() && file.contains(name) ? file[name] : nlohmann::json::array();
}

void write_image(const fs::path& path, int64_t width, int64_t height, uint8_t value) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  io::Image image = io::make_image(width, height, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  io::write_png(path, image);
}

void write_text(const fs::path& path, const std::string& text) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  write_file(path, text);
}

}  // namespace loraptor::test
