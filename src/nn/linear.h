// A frozen linear layer that an adapter can be attached to.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/linear_adapter.h"
#include "nn/weight_storage.h"

namespace loraptor::nn {

/// x W^T + bias with a frozen weight. The graph keeps the stored form of the weight alive, never a converted copy.
///   x   [..,in] in the compute dtype
at::Tensor frozen_linear(const at::Tensor& x, const WeightStorage& weight, const at::Tensor& bias);

/// y = x W^T + b plus the adapter's correction, computed in the dtype of the weight (or what fast_compute_dtype says).
class Linear {
 public:
  Linear() = default;
  /// weight   [out,in], or a convolution kernel [out,C,kh,kw] that is read as [out,C*kh*kw] over flattened patches
  /// bias     [out] in the dtype of the weight, or undefined
  explicit Linear(at::Tensor weight, at::Tensor bias = {});

  /// x [..,in] in any float dtype -> [..,out] in the compute dtype.
  at::Tensor forward(const at::Tensor& x) const;

  void attach(std::shared_ptr<const LinearAdapter> adapter) { adapter_ = std::move(adapter); }
  void detach() { adapter_ = nullptr; }
  /// Attaches another adapter (null: none) and returns the one before.
  std::shared_ptr<const LinearAdapter> exchange(std::shared_ptr<const LinearAdapter> adapter) {
    adapter_.swap(adapter);
    return adapter;
  }
  const LinearAdapter* adapter() const { return adapter_.get(); }

  int64_t in_features() const { return weight_->sizes()[1]; }
  int64_t out_features() const { return weight_->sizes()[0]; }
  at::ScalarType compute_dtype() const { return weight_->compute_dtype(); }
  at::Device device() const { return weight_->device(); }
  /// {C,kh,kw} if the layer stands for a convolution over non-overlapping patches, else empty.
  const std::vector<int64_t>& kernel_shape() const { return kernel_shape_; }

  /// Keeps the weight as float8 from now on; the bias stays as it is.
  void store_as_fp8() { weight_ = fp8_weight(weight_->read(), weight_->compute_dtype()); }

  /// Moves weight and bias to `device`, where they are computed in `compute`; with a source the weight comes from it at
  /// each use (WeightStorage::placed).
  void move_to(at::Device device, at::ScalarType compute, WeightSource source = {});

  WeightStorage& weight() { return *weight_; }
  const WeightStorage& weight() const { return *weight_; }

 private:
  std::unique_ptr<WeightStorage> weight_;
  at::Tensor bias_;
  std::vector<int64_t> kernel_shape_;
  std::shared_ptr<const LinearAdapter> adapter_;
};

}  // namespace loraptor::nn
