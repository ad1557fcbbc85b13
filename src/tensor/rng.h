// Random numbers that depend on nothing but what they are for.
//
// Every draw is a pure function of (seed, purpose, index, item, element): a Philox 4x32-10 counter generator. So worker
// threads, batch layout, number of processes, device and interruptions change nothing. See docs/numerics.md.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::tensor {

/// What a draw is for; part of its counter, so that no two purposes ever share numbers.
enum class Purpose : uint32_t {
  noise = 1,             // index: epoch, item: image occurrence
  timestep = 2,          // index: epoch, item: image occurrence
  latent_posterior = 3,  // live: as noise; cached: index 0, item: image
  lora_init = 4,         // item: hash of the module name
  encoder_dropout = 5,   // index: epoch, item: image occurrence, element: encoder
  position_crop = 6,     // index: micro-step
  network_dropout = 7,   // index: micro-step, item: hash of the module name
  caption = 8,           // index: epoch, item: image occurrence
  augmentation = 9,      // index: epoch, item: image occurrence
  epoch_order = 10,      // index: epoch
  sample_image = 11,     // index: seed of the prompt
  sample_seed = 12,      // index: number of the prompt
  validation = 13,       // index: batch, item: timestep number
  stochastic_rounding = 14,
  t5_dropout = 15,  // index: micro-step, item: hash of the place in the encoder
};

struct DrawKey {
  Purpose purpose;
  uint64_t index = 0;
  uint64_t item = 0;
};

/// The counter generator. Copies are cheap; there is no state besides the seed.
class CounterRng {
 public:
  explicit CounterRng(uint64_t seed) : seed_(seed) {}
  uint64_t seed() const { return seed_; }

  /// Standard normal numbers, float32 on the CPU. A prefix of a longer draw equals the shorter draw.
  at::Tensor normal(const DrawKey& key, at::IntArrayRef shape) const;

  /// Uniform numbers in [0,1), float32 on the CPU, multiples of 2^-24.
  at::Tensor uniform(const DrawKey& key, at::IntArrayRef shape) const;

  /// The element-th raw 32-bit number of the stream.
  uint32_t bits(const DrawKey& key, uint64_t element) const;

  /// A uniform double in [0,1) with 32 bits.
  double uniform_scalar(const DrawKey& key, uint64_t element) const { return bits(key, element) * 0x1p-32; }

  /// A uniform integer in [0, bound), bound > 0.
  uint64_t below(uint64_t bound, const DrawKey& key, uint64_t element) const;

  /// A random order of 0 .. count-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t count, const DrawKey& key) const;

 private:
  uint64_t seed_;
};

/// Identifies the images of one micro-step to a DrawSource.
struct BatchDraws {
  int64_t micro_step = 0;             // counted from 0 over the whole run
  int64_t epoch = 0;                  // counted from 1
  std::vector<uint64_t> occurrences;  // one per image: its place in the data set, repeats counted
};

/// Where the draws of a training step come from: the counter generator, or a recording (train/replay.h).
class DrawSource {
 public:
  virtual ~DrawSource() = default;

  /// Noise to mix with the latents: float32 CPU, `shape` = [B,16,h,w].
  virtual at::Tensor noise(const BatchDraws& batch, at::IntArrayRef shape) = 0;

  /// Posterior noise of a batch encoded during the step: float32 CPU, `shape` = [B,16,h,w].
  virtual at::Tensor latent_noise(const BatchDraws& batch, at::IntArrayRef shape) = 0;

  /// Posterior noise of one image whose latents are cached: float32 CPU, `shape` = [16,h,w].
  ///   stem   file name without folder and extension
  ///   image  number of the image in the data set
  virtual at::Tensor cached_latent_noise(const std::string& stem, uint64_t image, at::IntArrayRef shape) = 0;

  /// Timesteps that replace the drawn ones (float32 [B], 0..1000), or nullopt: then they follow from timestep_unit
  /// or timestep_normal.
  virtual std::optional<at::Tensor> recorded_timesteps(const BatchDraws& batch) = 0;

  /// Uniform [0,1) and standard normal numbers behind the timesteps: float32 [B].
  virtual at::Tensor timestep_unit(const BatchDraws& batch) = 0;
  virtual at::Tensor timestep_normal(const BatchDraws& batch) = 0;
};

/// The draws of an ordinary run.
class CounterDraws : public DrawSource {
 public:
  explicit CounterDraws(uint64_t seed) : rng_(seed) {}
  at::Tensor noise(const BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor latent_noise(const BatchDraws& batch, at::IntArrayRef shape) override;
  at::Tensor cached_latent_noise(const std::string& stem, uint64_t image, at::IntArrayRef shape) override;
  std::optional<at::Tensor> recorded_timesteps(const BatchDraws&) override { return std::nullopt; }
  at::Tensor timestep_unit(const BatchDraws& batch) override;
  at::Tensor timestep_normal(const BatchDraws& batch) override;

 private:
  at::Tensor normal_batch(Purpose purpose, const BatchDraws& batch, at::IntArrayRef shape) const;
  CounterRng rng_;
};

}  // namespace loraptor::tensor
