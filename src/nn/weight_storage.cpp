#include "nn/weight_storage.h"

#include <algorithm>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "kernels/narrow_product.h"
#include "kernels/wide_product.h"

namespace loraptor::nn {
namespace {

// A mapped file is read-only, so the sum is a new tensor.
at::Tensor sum_of(const at::Tensor& weight, const at::Tensor& delta) {
  return (weight.to(at::kFloat) + delta.to(weight.device(), at::kFloat)).to(weight.scalar_type());
}

/// The stored form of a weight: kept here, or brought by a source at each use.
class Stored {
 public:
  explicit Stored(at::Tensor weight)
      : weight_(std::move(weight)),
        sizes_(weight_.sizes().vec()),
        device_(weight_.device()),
        dtype_(weight_.scalar_type()) {}

  /// The same on another device, or from a source.
  Stored placed(at::Device device, WeightSource source) const {
    Stored other = *this;
    other.device_ = device;
    other.source_ = std::move(source);
    other.weight_ = other.source_ ? at::Tensor() : get().to(device);
    return other;
  }

  at::Tensor get() const { return source_ ? source_() : weight_; }
  void replace(at::Tensor weight) {
    LORAPTOR_ASSERT(!source_);
    weight_ = std::move(weight);
  }
  bool is_here() const { return !source_; }
  at::IntArrayRef sizes() const { return sizes_; }
  at::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }

 private:
  at::Tensor weight_;  // undefined with a source
  WeightSource source_;
  std::vector<int64_t> sizes_;
  at::Device device_;
  at::ScalarType dtype_;
};

class PlainWeight : public WeightStorage {
 public:
  explicit PlainWeight(Stored weight) : weight_(std::move(weight)) {}
  at::Tensor read() const override { return weight_.get(); }
  std::function<at::Tensor()> reader() const override {
    return [weight = weight_] { return weight.get(); };
  }
  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const override {
    // The few rows of a condition: the library would use one thread, and it is the weight that takes time to read.
    if (!kernels::has_narrow_loop(x)) return kernels::wide_product(bias, x, weight_.get().t());
    const auto y = kernels::narrow_dots(x, weight_.get());
    return bias.defined() ? y.add_(bias) : y;
  }
  std::function<at::Tensor(const at::Tensor&)> input_gradient() const override {
    return [weight = weight_](const at::Tensor& g) {
      return kernels::has_narrow_loop(g) ? kernels::narrow_sums(g, weight.get())
                                         : kernels::wide_product({}, g, weight.get());
    };
  }
  void add(const at::Tensor& delta) override { weight_.replace(sum_of(weight_.get(), delta)); }
  at::Tensor stored() const override { return weight_.get(); }
  std::unique_ptr<WeightStorage> placed(at::Device device, at::ScalarType compute, WeightSource source) const override;
  bool is_at_hand() const override { return weight_.is_here(); }
  at::ScalarType storage_dtype() const override { return weight_.dtype(); }
  at::ScalarType compute_dtype() const override { return weight_.dtype(); }
  at::IntArrayRef sizes() const override { return weight_.sizes(); }
  at::Device device() const override { return weight_.device(); }

 private:
  Stored weight_;
};

/// Rows of a weight in the dtype they are stored in, each times its scale where there is one.
struct StoredRows {
  Stored weight;     // [out,in]
  at::Tensor scale;  // float32 [out,1], or undefined

  at::Tensor converted(at::ScalarType compute) const {
    const auto wide = weight.get().to(compute);
    return scale.defined() ? wide.mul(scale.to(compute)) : wide;
  }
};

// Calls use(first row, converted rows) for parts of the weight that fit into a core's share of the cache: converting a
// whole layer at once would cost two more trips to main memory than the narrow weight saves.
template <class Use>
void for_converted_rows(const StoredRows& rows, at::ScalarType compute, const Use& use) {
  constexpr int64_t kPartElements = 1 << 20;
  const auto weight = rows.weight.get();
  const int64_t count = weight.size(0), step = std::clamp<int64_t>(kPartElements / weight.size(1), 1, count);
  const auto part = at::empty({step, weight.size(1)}, weight.options().dtype(compute));
  for (int64_t row = 0; row < count; row += step) {
    const int64_t height = std::min(step, count - row);
    auto converted = part.narrow(0, 0, height);
    converted.copy_(weight.narrow(0, row, height));
    if (rows.scale.defined()) converted.mul_(rows.scale.narrow(0, row, height));
    use(row, converted);
  }
}

/// E4M3 with one scale a row, which makes the row's largest value the largest that E4M3 has.
StoredRows to_fp8(const at::Tensor& weight) {
  constexpr double kLargest = 448;
  const auto wide = weight.to(at::kFloat);
  const auto largest = wide.abs().amax({1}, /*keepdim=*/true);
  const auto scale = at::where(largest > 0, largest / kLargest, at::ones_like(largest));
  return {Stored((wide / scale).to(at::kFloat8_e4m3fn)), scale};
}

class ConvertedWeight : public WeightStorage {
 public:
  ConvertedWeight(StoredRows rows, at::ScalarType compute) : rows_(std::move(rows)), compute_(compute) {}
  at::Tensor read() const override { return rows_.converted(compute_); }
  std::function<at::Tensor()> reader() const override {
    return [rows = rows_, compute = compute_] { return rows.converted(compute); };
  }

  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const override {
    auto y = at::empty({x.size(0), sizes()[0]}, x.options());
    for_converted_rows(rows_, compute_, [&](int64_t row, const at::Tensor& part) {
      const int64_t height = part.size(0);
      kernels::wide_product(y.narrow(1, row, height), bias.defined() ? bias.narrow(0, row, height) : bias, x, part.t());
    });
    return y;
  }

  std::function<at::Tensor(const at::Tensor&)> input_gradient() const override {
    return [rows = rows_, compute = compute_](const at::Tensor& g) {
      auto sum = at::empty({g.size(0), rows.weight.sizes()[1]}, g.options());
      for_converted_rows(rows, compute, [&](int64_t row, const at::Tensor& part) {
        kernels::wide_product(sum, row == 0 ? at::Tensor() : sum, g.narrow(1, row, part.size(0)), part);
      });
      return sum;
    };
  }

  void add(const at::Tensor& delta) override {
    if (rows_.scale.defined()) {
      rows_ = to_fp8(rows_.converted(at::kFloat) + delta.to(device(), at::kFloat));
    } else {
      rows_.weight.replace(sum_of(rows_.weight.get(), delta));
    }
  }
  at::Tensor stored() const override { return rows_.weight.get(); }
  std::unique_ptr<WeightStorage> placed(at::Device device, at::ScalarType compute, WeightSource source) const override;
  bool is_at_hand() const override { return false; }
  at::ScalarType storage_dtype() const override { return rows_.weight.dtype(); }
  at::ScalarType compute_dtype() const override { return compute_; }
  at::IntArrayRef sizes() const override { return rows_.weight.sizes(); }
  at::Device device() const override { return rows_.weight.device(); }

 private:
  StoredRows rows_;
  at::ScalarType compute_;
};

/// A weight without scales.
std::unique_ptr<WeightStorage> unscaled(Stored weight, at::ScalarType compute) {
  if (weight.dtype() == compute) return std::make_unique<PlainWeight>(std::move(weight));
  return std::make_unique<ConvertedWeight>(StoredRows{std::move(weight), {}}, compute);
}

std::unique_ptr<WeightStorage> PlainWeight::placed(at::Device device, at::ScalarType compute,
                                                   WeightSource source) const {
  return unscaled(weight_.placed(device, std::move(source)), compute);
}

std::unique_ptr<WeightStorage> ConvertedWeight::placed(at::Device device, at::ScalarType compute,
                                                       WeightSource source) const {
  auto weight = rows_.weight.placed(device, std::move(source));
  if (!rows_.scale.defined()) return unscaled(std::move(weight), compute);
  return std::make_unique<ConvertedWeight>(StoredRows{std::move(weight), rows_.scale.to(device)}, compute);
}

// Whether products of bfloat16 are faster than converting to float32. Intel's cores without AMX have the instructions,
// but oneDNN's products with them reach 0.6 of the float32 rate there; on AMD's they double it.
bool cpu_multiplies_bf16() {
  const auto& cpu = cpu_features();
  return cpu.amx || (cpu.avx512_bf16 && !cpu.intel);
}

}  // namespace

std::unique_ptr<WeightStorage> plain_weight(at::Tensor weight) {
  return std::make_unique<PlainWeight>(Stored(std::move(weight)));
}

std::unique_ptr<WeightStorage> converted_weight(at::Tensor weight, at::ScalarType compute) {
  return std::make_unique<ConvertedWeight>(StoredRows{Stored(std::move(weight)), {}}, compute);
}

std::unique_ptr<WeightStorage> fp8_weight(const at::Tensor& weight, at::ScalarType compute) {
  const at::NoGradGuard no_grad;
  return std::make_unique<ConvertedWeight>(to_fp8(weight), compute);
}

at::ScalarType fast_compute_dtype(const at::Tensor& weight) {
  if (!weight.device().is_cpu()) return weight.scalar_type();
  const bool is_slow =
      weight.scalar_type() == at::kHalf || (weight.scalar_type() == at::kBFloat16 && !cpu_multiplies_bf16());
  return is_slow ? at::kFloat : weight.scalar_type();
}

}  // namespace loraptor::nn
