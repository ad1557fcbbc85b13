#include "tensor/rng.h"

#include <ATen/Parallel.h>
#include <ATen/core/PhiloxRNGEngine.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "base/error.h"

namespace loraptor::tensor {
namespace {

uint64_t mix(uint64_t value) {  // splitmix64 finaliser
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

/// Philox counts 2^64 groups of four numbers in each of 2^64 streams; purpose, index and item choose the stream.
uint64_t stream_of(const DrawKey& key) {
  uint64_t stream = mix(static_cast<uint64_t>(key.purpose) + 0x9E3779B97F4A7C15ull);
  stream = mix(stream ^ mix(key.index + 0xD1B54A32D192ED03ull));
  return mix(stream ^ mix(key.item + 0x8CB92BA72F3D8DD7ull));
}

constexpr int64_t kGrain = 1024;  // groups of four a task

}  // namespace

at::Tensor CounterRng::normal(const DrawKey& key, at::IntArrayRef shape) const {
  auto result = at::empty(shape, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  const int64_t count = result.numel();
  const uint64_t stream = stream_of(key);
  at::parallel_for(0, (count + 3) / 4, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      at::Philox4_32 engine(seed_, stream, static_cast<uint64_t>(group));
      for (int64_t pair = 0; pair < 4; pair += 2) {  // Box-Muller in double: identical on every machine's libm to 1 ulp
        const uint32_t first = engine(), second = engine();
        const double radius = std::sqrt(-2 * std::log((first + 1.0) * 0x1p-32));
        const double angle = 2 * std::numbers::pi * (second * 0x1p-32);
        const int64_t at = 4 * group + pair;
        if (at < count) out[at] = static_cast<float>(radius * std::cos(angle));
        if (at + 1 < count) out[at + 1] = static_cast<float>(radius * std::sin(angle));
      }
    }
  });
  return result;
}

at::Tensor CounterRng::uniform(const DrawKey& key, at::IntArrayRef shape) const {
  auto result = at::empty(shape, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  const int64_t count = result.numel();
  const uint64_t stream = stream_of(key);
  at::parallel_for(0, (count + 3) / 4, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      at::Philox4_32 engine(seed_, stream, static_cast<uint64_t>(group));
      for (int64_t at = 4 * group; at < std::min(4 * group + 4, count); ++at) {
        out[at] = static_cast<float>(engine() >> 8) * 0x1p-24f;
      }
    }
  });
  return result;
}

uint32_t CounterRng::bits(const DrawKey& key, uint64_t element) const {
  at::Philox4_32 engine(seed_, stream_of(key), element / 4);
  for (uint64_t skip = element % 4; skip > 0; --skip) engine();
  return engine();
}

uint64_t CounterRng::below(uint64_t bound, const DrawKey& key, uint64_t element) const {
  LORAPTOR_ASSERT(bound > 0);
  const uint64_t wide = (static_cast<uint64_t>(bits(key, 2 * element)) << 32) | bits(key, 2 * element + 1);
  return static_cast<uint64_t>((static_cast<unsigned __int128>(wide) * bound) >> 64);
}

std::vector<int64_t> CounterRng::permutation(int64_t count, const DrawKey& key) const {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[below(static_cast<uint64_t>(i) + 1, key, static_cast<uint64_t>(i))]);
  }
  return order;
}

at::Tensor CounterDraws::normal_batch(Purpose purpose, const BatchDraws& batch, at::IntArrayRef shape) const {
  LORAPTOR_ASSERT(!shape.empty() && shape[0] == static_cast<int64_t>(batch.occurrences.size()));
  std::vector<at::Tensor> rows;
  for (uint64_t occurrence : batch.occurrences) {
    rows.push_back(rng_.normal({purpose, static_cast<uint64_t>(batch.epoch), occurrence}, shape.slice(1)));
  }
  return at::stack(rows);
}

at::Tensor CounterDraws::noise(const BatchDraws& batch, at::IntArrayRef shape) {
  return normal_batch(Purpose::noise, batch, shape);
}

at::Tensor CounterDraws::latent_noise(const BatchDraws& batch, at::IntArrayRef shape) {
  return normal_batch(Purpose::latent_posterior, batch, shape);
}

at::Tensor CounterDraws::cached_latent_noise(const std::string&, uint64_t image, at::IntArrayRef shape) {
  return rng_.normal({Purpose::latent_posterior, 0, image}, shape);
}

at::Tensor CounterDraws::timestep_unit(const BatchDraws& batch) {
  std::vector<at::Tensor> rows;
  for (uint64_t occurrence : batch.occurrences) {
    rows.push_back(rng_.uniform({Purpose::timestep, static_cast<uint64_t>(batch.epoch), occurrence}, {}));
  }
  return at::stack(rows);
}

at::Tensor CounterDraws::timestep_normal(const BatchDraws& batch) {
  return normal_batch(Purpose::timestep, batch, {static_cast<int64_t>(batch.occurrences.size())});
}

}  // namespace loraptor::tensor
