// Parts of the small golden models, and comparison with whole or row-wise stored golden tensors.
#pragma once

#include <cstdlib>
#include <string>

#include "models/model_files.h"
#include "support/golden.h"

namespace loraptor::test {

/// The files of a golden model, one a part.
inline models::ModelConfig golden_config(const std::string& model) {
  const auto folder = golden_checkpoint(model);
  models::ModelConfig config;
  config.pretrained_model_name_or_path = folder / "mmdit_vae.safetensors";
  config.clip_l = folder / "clip_l.safetensors";
  config.clip_g = folder / "clip_g.safetensors";
  config.t5xxl = folder / "t5xxl.safetensors";
  return config;
}

inline models::PartReader golden_part(const std::string& model, models::Part part, at::ScalarType dtype = at::kFloat) {
  return models::ModelFiles::open(golden_config(model)).part(part, {dtype, at::kCPU});
}

/// Writes a golden model in another form: `options` = "--dtype bf16", "--single-file" ...
inline void make_checkpoint(const std::string& model, const std::filesystem::path& folder, const std::string& options) {
  const auto maker = golden_folder() / "make_checkpoint.py";
  const std::string command =
      fmt::format("'{}' '{}' '{}' '{}' {}", python().string(), maker.string(), model, folder.string(), options);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

/// Compares `got` [B,T,C] with the golden tensor `name`, and its positions `rows` with `name`_rows, where they exist.
/// Golden tensors of fewer samples are compared with the first ones.
inline void compare_found(GoldenFile& file, const std::string& name, const at::Tensor& got, const at::Tensor& rows,
                          double limit) {
  if (file.has(name)) file.expect_close(name, got.slice(0, 0, file[name].size(0)), limit);
  if (!file.has(name + "_rows")) return;
  const auto& want = file[name + "_rows"];
  file.expect_close(name + "_rows", got.slice(0, 0, want.size(0)).index_select(1, rows.to(at::kLong)), limit);
}

}  // namespace loraptor::test
