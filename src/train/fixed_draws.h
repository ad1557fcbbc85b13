// Draws that are the same in all runs: validation losses of different seeds and settings can then be compared.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "tensor/rng.h"

namespace loraptor::train {

/// Noise follows from the image's file name and the timestep alone: not from the run's seed, the size of batches, or
/// the other images. The timesteps are a table; the "epoch" of a BatchDraws is the place in it.
class FixedDraws : public tensor::DrawSource {
 public:
  /// Midpoints of eight equal parts of 0 … 1000, rounded down.
  static constexpr std::array<int64_t, 8> kTimesteps = {62, 187, 312, 437, 562, 687, 812, 937};

  /// dataset   names the images of the draws; must outlive it
  explicit FixedDraws(const data::Dataset& dataset);

  at::Tensor noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor latent_noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor cached_latent_noise(const std::string& stem, uint64_t image, at::IntArrayRef shape) override;
  std::optional<at::Tensor> recorded_timesteps(const tensor::BatchDraws& batch) override;
  at::Tensor timestep_unit(const tensor::BatchDraws& batch) override;
  at::Tensor timestep_normal(const tensor::BatchDraws& batch) override;

 private:
  at::Tensor rows(tensor::Purpose purpose, uint64_t index, const tensor::BatchDraws& batch,
                  at::IntArrayRef shape) const;

  std::map<uint64_t, uint64_t> names_;  // occurrence -> hash of the file stem
};

}  // namespace loraptor::train
