#include "pipeline/cache_latents.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "data/batch.h"
#include "pipeline/encode_latents.h"

namespace loraptor::pipeline {
namespace {

/// Images in the order of their size, so that neighbours can share a batch.
std::vector<int64_t> by_size(const data::Dataset& dataset) {
  std::vector<int64_t> order(dataset.images().size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto& first = dataset.images()[static_cast<size_t>(a)];
    const auto& second = dataset.images()[static_cast<size_t>(b)];
    return std::pair(first.dataset, first.bucket) < std::pair(second.dataset, second.bucket);
  });
  return order;
}

class Encoder {
 public:
  Encoder(const data::Dataset& dataset, const models::Vae& vae, tensor::DrawSource& draws)
      : dataset_(dataset), vae_(vae), draws_(draws) {}

  /// Encodes images of one shape; writes into `cache`.
  void run(const std::vector<int64_t>& numbers, std::vector<CachedLatents>& cache) const {
    std::vector<at::Tensor> pixels;
    bool any_flipped = false;
    for (int64_t number : numbers) {
      const auto& image = dataset_.images()[static_cast<size_t>(number)];
      auto input = data::load_cache_input(dataset_, image);
      pixels.push_back(input.pixels);
      cache[static_cast<size_t>(number)].mask = input.mask;
      any_flipped |= dataset_.subset_of(image).flip_aug;
    }
    const auto batch = at::stack(pixels);
    const auto latents = encode(batch, numbers, 0);
    const auto flipped = any_flipped ? encode(batch.flip({3}), numbers, kFlippedDraw) : at::Tensor();
    for (size_t i = 0; i < numbers.size(); ++i) {
      auto& entry = cache[static_cast<size_t>(numbers[i])];
      const auto& image = dataset_.images()[static_cast<size_t>(numbers[i])];
      entry.latents = latents[static_cast<int64_t>(i)].clone();
      if (dataset_.subset_of(image).flip_aug) entry.flipped = flipped[static_cast<int64_t>(i)].clone();
    }
  }

 private:
  /// The mirrored image has a posterior sample of its own.
  static constexpr uint64_t kFlippedDraw = uint64_t{1} << 63;

  at::Tensor encode(const at::Tensor& pixels, const std::vector<int64_t>& numbers, uint64_t draw) const {
    const auto noise = [&](at::IntArrayRef shape) {
      std::vector<at::Tensor> rows;
      for (int64_t number : numbers) {
        const auto& image = dataset_.images()[static_cast<size_t>(number)];
        rows.push_back(draws_.cached_latent_noise(image.stem, static_cast<uint64_t>(number) | draw, shape.slice(1)));
      }
      return at::stack(rows);
    };
    return encode_images(vae_, pixels, pixels.size(0), noise).to(at::kCPU);
  }

  const data::Dataset& dataset_;
  const models::Vae& vae_;
  tensor::DrawSource& draws_;
};

}  // namespace

std::vector<CachedLatents> cache_latents(const data::Dataset& dataset, const models::Vae& vae,
                                         tensor::DrawSource& draws, int64_t batch_size, const Progress& progress) {
  const at::NoGradGuard no_grad;
  const Encoder encoder(dataset, vae, draws);
  const auto& images = dataset.images();
  const auto order = by_size(dataset);
  std::vector<CachedLatents> cache(images.size());
  for (size_t begin = 0; begin < order.size();) {
    const auto& first = images[static_cast<size_t>(order[begin])];
    size_t end = begin;
    while (end < order.size() && end - begin < static_cast<size_t>(batch_size)) {
      const auto& next = images[static_cast<size_t>(order[end])];
      if (next.dataset != first.dataset || next.bucket != first.bucket) break;
      ++end;
    }
    encoder.run({order.begin() + static_cast<int64_t>(begin), order.begin() + static_cast<int64_t>(end)}, cache);
    begin = end;
    progress(static_cast<int64_t>(end), static_cast<int64_t>(order.size()));
  }
  return cache;
}

}  // namespace loraptor::pipeline
