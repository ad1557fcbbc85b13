#include "support/golden.h"

#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/safetensors.h"

namespace loraptor::test {
namespace fs = std::filesystem;
namespace {

fs::path from_environment(const char* variable, const fs::path& otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != 0 ? fs::path(value) : otherwise;
}

std::string index_text(int64_t flat, at::IntArrayRef shape) {
  std::vector<int64_t> index(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    index[d] = flat % shape[d];
    flat /= shape[d];
  }
  return fmt::format("[{}]", fmt::join(index, ","));
}

}  // namespace

fs::path repository() { return LORAPTOR_SOURCE_DIR; }
fs::path golden_folder() { return from_environment("LORAPTOR_GOLDEN", repository() / "tests/golden"); }
fs::path program() { return from_environment("LORAPTOR_PROGRAM", repository() / "build/release/loraptor"); }
fs::path python() { return from_environment("LORAPTOR_PYTHON", LORAPTOR_PYTHON); }

std::vector<fs::path> golden_files(const std::string& sub, const std::string& prefix, const std::string& suffix) {
  std::vector<fs::path> found;
  const fs::path folder = golden_folder() / sub;
  if (!fs::is_directory(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(prefix) && name.ends_with(suffix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  const auto models = nlohmann::json::parse(read_file(golden_folder() / "models.json"));
  for (const auto& [name, value] : models.items()) names.push_back(name);
  return names;
}

fs::path golden_checkpoint(const std::string& model) {
  const fs::path maker = golden_folder() / "make_checkpoint.py";
  const std::string recipe = read_file(golden_folder() / "models.json") + read_file(maker);
  const fs::path base = fs::temp_directory_path() / fmt::format("loraptor-checkpoints-{}", ::getuid());
  const fs::path folder = base / fmt::format("{}-{:016x}", model, xxh3(recipe));
  fs::create_directories(base);
  // Test programs run side by side: the first one makes the files, the others wait.
  std::FILE* lock = std::fopen((folder.string() + ".lock").c_str(), "w");
  LORAPTOR_ASSERT(lock != nullptr);
  ::flock(::fileno(lock), LOCK_EX);
  if (!fs::exists(folder / "DONE")) {
    const std::string command =
        fmt::format("'{}' '{}' '{}' '{}'", python().string(), maker.string(), model, folder.string());
    if (std::system(command.c_str()) != 0) {
      std::fclose(lock);
      throw RunError("[golden] this command failed: " + command);
    }
    write_file(folder / "DONE", "");
  }
  std::fclose(lock);
  return folder;
}

double tolerance(const std::string& name) {
  const auto table = read_golden_json(golden_folder() / "models/tolerances.json");
  if (!table.contains(name)) {
    ADD_FAILURE() << "models/tolerances.json has no entry '" << name << "'";
    return 0;
  }
  return table[name].get<double>();
}

void mark_golden_read(const fs::path& path) {
  const char* folder = std::getenv("LORAPTOR_GOLDEN_LOG");
  if (folder == nullptr) return;
  std::string name = fs::relative(path, golden_folder()).string();
  std::replace(name.begin(), name.end(), '/', '+');
  fs::create_directories(folder);
  std::ofstream(fs::path(folder) / name) << "";
}

nlohmann::json read_golden_json(const fs::path& path) {
  mark_golden_read(path);
  return nlohmann::json::parse(read_file(path));
}

GoldenFile::GoldenFile(fs::path path) : path_(std::move(path)) {
  mark_golden_read(path_);
  const auto file = io::SafetensorsFile::open(path_);
  for (const auto& name : file->names()) tensors_[name] = file->tensor(name).clone();
  metadata_ = file->metadata();
}

GoldenFile::~GoldenFile() {
  std::printf("  %s: %d tensors compared, worst error %.3g%s%s\n", path_.filename().c_str(), compared_, worst_,
              worst_name_.empty() ? "" : " at ", worst_name_.c_str());
}

const at::Tensor& GoldenFile::operator[](const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw FileError(path_, fmt::format("golden tensor '{}' is missing.", name));
  return found->second;
}

std::vector<std::string> GoldenFile::names() const { return names_starting(""); }

std::vector<std::string> GoldenFile::names_starting(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const auto& [name, tensor] : tensors_) {
    if (name.starts_with(prefix)) found.push_back(name);
  }
  return found;
}

nlohmann::json GoldenFile::metadata(const std::string& name) const {
  const auto found = metadata_.find(name);
  return found == metadata_.end() ? nlohmann::json() : nlohmann::json::parse(found->second);
}

void GoldenFile::expect_close(const std::string& name, const at::Tensor& got, double limit) {
  expect_close(name, got, (*this)[name], limit);
}

void GoldenFile::expect_close(const std::string& what, const at::Tensor& got, const at::Tensor& want, double limit) {
  ++compared_;
  ASSERT_EQ(got.sizes().vec(), want.sizes().vec()) << path_.filename() << " " << what;
  if (got.numel() == 0) return;
  const auto a = got.detach().to(at::kCPU, at::kDouble).contiguous(), b = want.to(at::kDouble).contiguous();
  const auto difference = (a - b).abs().reshape({-1});
  const double worst = difference.max().item<double>();
  if (!(worst <= worst_)) {
    worst_ = worst;
    worst_name_ = what;
  }
  if (worst <= limit) return;
  const int64_t at = difference.argmax().item<int64_t>();
  ADD_FAILURE() << path_.filename() << " " << what << " differs by " << worst << " (limit " << limit << ") at "
                << index_text(at, got.sizes()) << ": got " << a.reshape({-1})[at].item<double>() << ", expected "
                << b.reshape({-1})[at].item<double>();
}

void GoldenFile::expect_relative(const std::string& what, const at::Tensor& got, const at::Tensor& want, double limit) {
  ++compared_;
  ASSERT_EQ(got.sizes().vec(), want.sizes().vec()) << path_.filename() << " " << what;
  const auto a = got.detach().to(at::kCPU, at::kDouble), b = want.to(at::kDouble);
  const double size = b.norm().item<double>(), error = (a - b).norm().item<double>() / (size > 0 ? size : 1);
  if (!(error <= worst_)) {
    worst_ = error;
    worst_name_ = what;
  }
  if (!(error <= limit)) {
    ADD_FAILURE() << path_.filename() << " " << what << ": relative error " << error << " (limit " << limit
                  << "), norms got " << a.norm().item<double>() << ", expected " << size;
  }
}

at::Tensor unit_values(const std::string& key, int64_t count) {
  uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a
  for (unsigned char byte : key) hash = (hash ^ byte) * 0x100000001B3ull;
  auto values = at::empty({count}, at::kDouble);
  double* out = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < count; ++i) {
    uint64_t z = hash + static_cast<uint64_t>(i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    out[i] = 2.0 * static_cast<double>(z >> 40) / static_cast<double>(1 << 24) - 1.0;
  }
  return values;
}

}  // namespace loraptor::test
