// How a frozen weight is kept: the same Linear reads float32, bfloat16 or scaled 8-bit weights.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>

namespace loraptor::nn {

/// One weight matrix [out,in] as it lies in memory.
class WeightStorage {
 public:
  virtual ~WeightStorage() = default;

  /// The weight in the compute dtype; no copy where it is stored that way.
  virtual at::Tensor read() const = 0;

  /// A function that returns the same as `read` later and keeps alive no more than the stored form. A backward pass
  /// holds it instead of a converted copy of the weight.
  virtual std::function<at::Tensor()> reader() const {
    return [weight = read()] { return weight; };
  }

  /// Adds `delta` [out,in] float32, for merging. Rounds to the storage dtype.
  virtual void add(const at::Tensor& delta) = 0;

  virtual at::ScalarType compute_dtype() const = 0;
  virtual at::IntArrayRef sizes() const = 0;
  virtual at::Device device() const = 0;
};

/// A weight stored in the dtype it is computed in.
std::unique_ptr<WeightStorage> plain_weight(at::Tensor weight);

}  // namespace loraptor::nn
