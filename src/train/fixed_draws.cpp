#include "train/fixed_draws.h"

#include "base/error.h"
#include "base/hash.h"

namespace loraptor::train {
namespace {

// Any number, but the same for ever: curves of different versions are compared too.
const tensor::CounterRng kRng(0x1093A);

}  // namespace

FixedDraws::FixedDraws(const data::Dataset& dataset) {
  for (const auto& image : dataset.images()) {
    for (int64_t repeat = 0; repeat < image.repeats; ++repeat) {
      names_[image.first_occurrence + static_cast<uint64_t>(repeat)] = xxh3(image.stem());
    }
  }
}

at::Tensor FixedDraws::rows(tensor::Purpose purpose, uint64_t index, const tensor::BatchDraws& batch,
                            at::IntArrayRef shape) const {
  LORAPTOR_ASSERT(!shape.empty() && shape[0] == static_cast<int64_t>(batch.occurrences.size()));
  std::vector<at::Tensor> found;
  for (const uint64_t occurrence : batch.occurrences) {
    found.push_back(kRng.normal({purpose, index, names_.at(occurrence)}, shape.slice(1)));
  }
  return at::stack(found);
}

at::Tensor FixedDraws::noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) {
  return rows(tensor::Purpose::validation, static_cast<uint64_t>(batch.epoch), batch, shape);
}

at::Tensor FixedDraws::latent_noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) {
  return rows(tensor::Purpose::latent_posterior, 0, batch, shape);
}

at::Tensor FixedDraws::cached_latent_noise(const std::string& stem, uint64_t, at::IntArrayRef shape) {
  return kRng.normal({tensor::Purpose::latent_posterior, 0, xxh3(stem)}, shape);
}

std::optional<at::Tensor> FixedDraws::recorded_timesteps(const tensor::BatchDraws& batch) {
  const int64_t timestep = kTimesteps.at(static_cast<size_t>(batch.epoch));
  return at::full({static_cast<int64_t>(batch.occurrences.size())}, timestep, at::kFloat);
}

at::Tensor FixedDraws::timestep_unit(const tensor::BatchDraws& batch) { return *recorded_timesteps(batch) / 1000; }
at::Tensor FixedDraws::timestep_normal(const tensor::BatchDraws& batch) { return *recorded_timesteps(batch) / 1000; }

}  // namespace loraptor::train
