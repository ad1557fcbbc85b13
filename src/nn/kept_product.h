// The product with a frozen weight that a backward pass will make, as a node of autograd keeps it.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/custom_class.h>

#include <functional>
#include <utility>

#include "nn/weight_storage.h"

namespace loraptor::nn {

struct KeptProduct : torch::CustomClassHolder {
  explicit KeptProduct(std::function<at::Tensor(const at::Tensor&)> call) : call(std::move(call)) {}
  std::function<at::Tensor(const at::Tensor&)> call;
};

/// For a node's `saved_data`; see WeightStorage::input_gradient.
inline c10::IValue keep_product(const WeightStorage& weight) {
  return c10::IValue::make_capsule(c10::make_intrusive<KeptProduct>(weight.input_gradient()));
}

/// g [N,out] -> g W [N,in] with the weight that was kept.
inline at::Tensor make_kept_product(const c10::IValue& kept, const at::Tensor& g) {
  const auto capsule = kept.toCapsule();
  return static_cast<const KeptProduct&>(*capsule).call(g);
}

}  // namespace loraptor::nn
