// A recorded run's random draws, read from a file (--replay_draws): a diagnostic for comparing runs step by step.
//
// File format: docs/formats.md, "Recorded draws". Everything else of the run stays real.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "io/safetensors.h"
#include "tensor/rng.h"

namespace loraptor::train {

class Replay : public tensor::DrawSource {
 public:
  /// Throws FileError if the file is no recording.
  explicit Replay(const std::filesystem::path& path);

  /// Stems of the images of each micro-step, in batch order.
  const std::vector<std::vector<std::string>>& batches() const { return images_; }
  /// The final captions of a micro-step, where captions were changed at random; else nullptr.
  const std::vector<std::string>* captions(int64_t micro_step) const;
  /// Recorded pixels [B,3,H,W] in -1..1 and loss mask [B,H,W] in 0..1 of a micro-step, where they were random.
  std::optional<at::Tensor> pixels(int64_t micro_step) const;
  std::optional<at::Tensor> mask(int64_t micro_step) const;

  at::Tensor noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor latent_noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor cached_latent_noise(const std::string& stem, uint64_t image, at::IntArrayRef shape) override;
  std::optional<at::Tensor> recorded_timesteps(const tensor::BatchDraws& batch) override;
  at::Tensor timestep_unit(const tensor::BatchDraws& batch) override;
  at::Tensor timestep_normal(const tensor::BatchDraws& batch) override;

 private:
  at::Tensor recorded(const std::string& name, at::IntArrayRef shape) const;
  std::optional<at::Tensor> optional_tensor(int64_t micro_step, const char* what) const;

  std::shared_ptr<const io::SafetensorsFile> file_;
  std::vector<std::vector<std::string>> images_;
  std::vector<std::vector<std::string>> captions_;
};

}  // namespace loraptor::train
