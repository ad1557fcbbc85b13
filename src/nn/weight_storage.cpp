#include "nn/weight_storage.h"

#include <algorithm>

namespace loraptor::nn {
namespace {

// A mapped file is read-only, so the sum is a new tensor.
at::Tensor sum_of(const at::Tensor& weight, const at::Tensor& delta) {
  return (weight.to(at::kFloat) + delta.to(weight.device(), at::kFloat)).to(weight.scalar_type());
}

class PlainWeight : public WeightStorage {
 public:
  explicit PlainWeight(at::Tensor weight) : weight_(std::move(weight)) {}
  at::Tensor read() const override { return weight_; }
  void add(const at::Tensor& delta) override { weight_ = sum_of(weight_, delta); }
  at::ScalarType storage_dtype() const override { return weight_.scalar_type(); }
  at::ScalarType compute_dtype() const override { return weight_.scalar_type(); }
  at::IntArrayRef sizes() const override { return weight_.sizes(); }
  at::Device device() const override { return weight_.device(); }

 private:
  at::Tensor weight_;
};

// Calls use(first row, converted rows) for parts of the weight that fit into a core's share of the cache: converting a
// whole layer at once would cost two more trips to main memory than the 16-bit weight saves.
template <class Use>
void for_converted_rows(const at::Tensor& weight, at::ScalarType compute, const Use& use) {
  constexpr int64_t kPartElements = 1 << 20;
  const int64_t rows = weight.size(0), step = std::clamp<int64_t>(kPartElements / weight.size(1), 1, rows);
  const auto part = at::empty({step, weight.size(1)}, weight.options().dtype(compute));
  for (int64_t row = 0; row < rows; row += step) {
    const int64_t count = std::min(step, rows - row);
    auto converted = part.narrow(0, 0, count);
    converted.copy_(weight.narrow(0, row, count));
    use(row, converted);
  }
}

class ConvertedWeight : public WeightStorage {
 public:
  ConvertedWeight(at::Tensor weight, at::ScalarType compute) : weight_(std::move(weight)), compute_(compute) {}
  at::Tensor read() const override { return weight_.to(compute_); }
  std::function<at::Tensor()> reader() const override {
    return [weight = weight_, compute = compute_] { return weight.to(compute); };
  }

  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const override {
    auto y = at::empty({x.size(0), weight_.size(0)}, x.options());
    for_converted_rows(weight_, compute_, [&](int64_t row, const at::Tensor& part) {
      auto columns = y.narrow(1, row, part.size(0));
      if (bias.defined()) {
        at::addmm_out(columns, bias.narrow(0, row, part.size(0)), x, part.t());
      } else {
        at::mm_out(columns, x, part.t());
      }
    });
    return y;
  }

  std::function<at::Tensor(const at::Tensor&)> input_gradient() const override {
    return [weight = weight_, compute = compute_](const at::Tensor& g) {
      auto sum = at::empty({g.size(0), weight.size(1)}, g.options());
      for_converted_rows(weight, compute, [&](int64_t row, const at::Tensor& part) {
        const auto columns = g.narrow(1, row, part.size(0));
        row == 0 ? at::mm_out(sum, columns, part) : sum.addmm_(columns, part);
      });
      return sum;
    };
  }

  void add(const at::Tensor& delta) override { weight_ = sum_of(weight_, delta); }
  at::ScalarType storage_dtype() const override { return weight_.scalar_type(); }
  at::ScalarType compute_dtype() const override { return compute_; }
  at::IntArrayRef sizes() const override { return weight_.sizes(); }
  at::Device device() const override { return weight_.device(); }

 private:
  at::Tensor weight_;
  at::ScalarType compute_;
};

bool cpu_multiplies_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;  // CPUs with AMX have it too
#else
  return true;
#endif
}

}  // namespace

std::unique_ptr<WeightStorage> plain_weight(at::Tensor weight) {
  return std::make_unique<PlainWeight>(std::move(weight));
}

std::unique_ptr<WeightStorage> converted_weight(at::Tensor weight, at::ScalarType compute) {
  return std::make_unique<ConvertedWeight>(std::move(weight), compute);
}

at::ScalarType fast_compute_dtype(const at::Tensor& weight) {
  if (!weight.device().is_cpu()) return weight.scalar_type();
  const bool is_slow =
      weight.scalar_type() == at::kHalf || (weight.scalar_type() == at::kBFloat16 && !cpu_multiplies_bf16());
  return is_slow ? at::kFloat : weight.scalar_type();
}

}  // namespace loraptor::nn
