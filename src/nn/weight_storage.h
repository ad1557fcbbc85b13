// How a frozen weight is kept: the same Linear reads float32, bfloat16 or scaled 8-bit weights.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>

namespace loraptor::nn {

/// Brings the stored form of a weight to its device; called whenever the weight is used.
using WeightSource = std::function<at::Tensor()>;

/// One weight matrix [out,in] as it lies in memory. None of its functions records a graph of the weight.
class WeightStorage {
 public:
  virtual ~WeightStorage() = default;

  /// The weight in the compute dtype; no copy where it is stored that way.
  virtual at::Tensor read() const = 0;

  /// A function that returns the same as `read` later and keeps alive no more than the stored form. A backward pass
  /// holds it instead of a converted copy of the weight.
  virtual std::function<at::Tensor()> reader() const = 0;

  /// x W^T + bias, without a graph.
  ///   x      [N,in] in the compute dtype
  ///   bias   [out] in the compute dtype, or undefined
  virtual at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const = 0;

  /// A function g [N,out] -> g W [N,in] for a backward pass. It keeps alive no more than the stored form.
  virtual std::function<at::Tensor(const at::Tensor&)> input_gradient() const = 0;

  /// Adds `delta` [out,in] float32, for merging. Rounds to the storage dtype.
  virtual void add(const at::Tensor& delta) = 0;

  /// The weight as it is stored: float8 without its scales.
  virtual at::Tensor stored() const = 0;

  /// The same weight on `device`, computed in `compute`. With a source the stored form stays where that brings it from;
  /// nobody else keeps it, and such a weight cannot be added to.
  virtual std::unique_ptr<WeightStorage> placed(at::Device device, at::ScalarType compute,
                                                WeightSource source = {}) const = 0;

  /// Whether a graph may hold what `read` returns: it costs no memory of its own.
  virtual bool is_at_hand() const = 0;

  virtual at::ScalarType storage_dtype() const = 0;
  virtual at::ScalarType compute_dtype() const = 0;
  virtual at::IntArrayRef sizes() const = 0;
  virtual at::Device device() const = 0;
};

/// A weight stored in the dtype it is computed in.
std::unique_ptr<WeightStorage> plain_weight(at::Tensor weight);

/// A weight that is converted, a part at a time, whenever it is used.
std::unique_ptr<WeightStorage> converted_weight(at::Tensor weight, at::ScalarType compute);

/// A weight stored as float8 E4M3 with a float32 scale for each output row: half the memory of 16 bit, three bits of
/// mantissa. Converted and scaled back, a part at a time, whenever it is used.
///   weight   [out,in] in any float dtype
std::unique_ptr<WeightStorage> fp8_weight(const at::Tensor& weight, at::ScalarType compute);

/// The dtype in which products with such a weight are computed on its device: its own, but float32 for 16-bit weights
/// on a CPU that cannot multiply that type in hardware, where it would be many times slower and less exact.
at::ScalarType fast_compute_dtype(const at::Tensor& weight);

}  // namespace loraptor::nn
