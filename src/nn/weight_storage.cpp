#include "nn/weight_storage.h"

namespace loraptor::nn {
namespace {

class PlainWeight : public WeightStorage {
 public:
  explicit PlainWeight(at::Tensor weight) : weight_(std::move(weight)) {}
  at::Tensor read() const override { return weight_; }
  void add(const at::Tensor& delta) override {
    // A mapped file is read-only, so the sum is a new tensor.
    weight_ = (weight_.to(at::kFloat) + delta.to(weight_.device(), at::kFloat)).to(weight_.scalar_type());
  }
  at::ScalarType compute_dtype() const override { return weight_.scalar_type(); }
  at::IntArrayRef sizes() const override { return weight_.sizes(); }
  at::Device device() const override { return weight_.device(); }

 private:
  at::Tensor weight_;
};

}  // namespace

std::unique_ptr<WeightStorage> plain_weight(at::Tensor weight) {
  return std::make_unique<PlainWeight>(std::move(weight));
}

}  // namespace loraptor::nn
