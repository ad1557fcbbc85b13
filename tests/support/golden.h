// The recorded numbers of the reference: where they lie, which tolerance holds, and which files were read.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loraptor::test {

/// The golden folder: $LORAPTOR_GOLDEN, else tests/golden.
std::filesystem::path golden_folder();

/// $LORAPTOR_PROGRAM or build/release/loraptor; the Python of the project's environment; the repository.
std::filesystem::path program();
std::filesystem::path python();
std::filesystem::path repository();

/// Files of golden_folder()/sub whose name begins with `prefix` and ends with `suffix`, sorted by name.
std::vector<std::filesystem::path> golden_files(const std::string& sub, const std::string& prefix,
                                                const std::string& suffix);

/// Names in models.json.
std::vector<std::string> golden_models();

/// Folder with the checkpoint files of a model, made by make_checkpoint.py on first use and kept in the build folder
/// (a new golden folder gets new ones). Holds mmdit_vae, clip_l, clip_g, t5xxl .safetensors.
std::filesystem::path golden_checkpoint(const std::string& model);

/// Value of models/tolerances.json. Fails the running test if it is missing.
double tolerance(const std::string& name);

/// One golden safetensors file. Marks it as read, so that the coverage test knows.
class GoldenFile {
 public:
  explicit GoldenFile(std::filesystem::path path);
  ~GoldenFile();  // prints: file, tensors compared, worst error

  const std::filesystem::path& path() const { return path_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const at::Tensor& operator[](const std::string& name) const;
  std::vector<std::string> names() const;
  std::vector<std::string> names_starting(const std::string& prefix) const;
  /// A JSON text of the header's __metadata__; null if absent.
  nlohmann::json metadata(const std::string& name) const;

  /// Expects max |got - want| <= limit for the tensor `name`; says the worst index and both values otherwise.
  void expect_close(const std::string& name, const at::Tensor& got, double limit);
  /// The same for a tensor that was derived from the file.
  void expect_close(const std::string& what, const at::Tensor& got, const at::Tensor& want, double limit);
  /// Expects norm(got - want) / norm(want) <= limit.
  void expect_relative(const std::string& what, const at::Tensor& got, const at::Tensor& want, double limit);

 private:
  std::filesystem::path path_;
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
  int compared_ = 0;
  double worst_ = 0;
  std::string worst_name_;
};

/// A golden JSON file, marked as read.
nlohmann::json read_golden_json(const std::filesystem::path& path);

/// Marks a golden file as read; the coverage test lists those that nobody marked.
void mark_golden_read(const std::filesystem::path& path);

/// Values in [-1,1) of make_checkpoint.unit_values(key, count), float64: LoRA values of the golden cases follow it.
at::Tensor unit_values(const std::string& key, int64_t count);

}  // namespace loraptor::test
