#include "support/elsewhere.h"

#include <ATen/ExpandUtils.h>
#include <torch/library.h>

#include <array>
#include <memory>
#include <mutex>

namespace loraptor::test {
namespace {

// Shapes of what LibTorch leaves to Python on this device.
using ThreeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Optional = std::optional<at::Tensor>;

ThreeTensors norm_shapes(const at::Tensor& x, const Optional&, const Optional&, const Optional&, const Optional&, bool,
                         double, double) {
  const auto statistics = at::empty({x.size(1)}, x.options().dtype(at::kFloat));
  return {at::empty_like(x), statistics, statistics};
}

ThreeTensors norm_backward_shapes(const at::Tensor&, const at::Tensor& x, at::IntArrayRef, const at::Tensor&,
                                  const at::Tensor&, const Optional&, const Optional&, std::array<bool, 3>) {
  return {at::empty_like(x), at::Tensor(), at::Tensor()};
}

at::Tensor& where_out_shape(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b, at::Tensor& out) {
  out.resize_(at::infer_size(condition.sizes(), at::infer_size(a.sizes(), b.sizes())));
  return out;
}

at::Tensor where_shape(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  auto out = at::empty({0}, (a.dim() > 0 ? a : b).options());
  return where_out_shape(condition, a, b, out);
}

at::Tensor index_select_shape(const at::Tensor& x, int64_t dim, const at::Tensor& index) {
  auto shape = x.sizes().vec();
  shape[static_cast<size_t>(dim)] = index.numel();
  return at::empty(shape, x.options());
}

at::Tensor convolution_shape(const at::Tensor& x, const at::Tensor& kernel, const Optional&, at::IntArrayRef stride,
                             at::IntArrayRef padding, at::IntArrayRef, bool, at::IntArrayRef, int64_t) {
  std::vector<int64_t> shape{x.size(0), kernel.size(0)};
  for (size_t i = 0; i < 2; ++i) {
    const auto dim = static_cast<int64_t>(i) + 2;
    shape.push_back((x.size(dim) + 2 * padding[i] - kernel.size(dim)) / stride[i] + 1);
  }
  return at::empty(shape, x.options());
}

at::Tensor& abs_out_shape(const at::Tensor& x, at::Tensor& out) {
  out.resize_(x.sizes());
  return out;
}

at::Tensor bucketize_shape(const at::Tensor& x, const at::Tensor&, bool as_int32, bool) {
  return at::empty(x.sizes(), x.options().dtype(as_int32 ? at::kInt : at::kLong));
}

at::Tensor pool_shape(const at::Tensor& x, at::IntArrayRef size) {
  return at::empty({x.size(0), x.size(1), size[0], size[1]}, x.options());
}

at::Tensor dot_shape(const at::Tensor& a, const at::Tensor&) { return at::empty({}, a.options()); }

void no_fused_adam(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                   double, double, double, double, double, bool, bool, const Optional&, const Optional&) {}

at::Scalar one(const at::Tensor&) { return 1.0; }

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("_adaptive_avg_pool2d", pool_shape);
  library.impl("_fused_adam_", no_fused_adam);
  library.impl("_fused_adamw_", no_fused_adam);
  library.impl("_local_scalar_dense", one);
  library.impl("abs.out", abs_out_shape);
  library.impl("bucketize.Tensor", bucketize_shape);
  library.impl("dot", dot_shape);
  library.impl("native_batch_norm", norm_shapes);
  library.impl("native_layer_norm_backward", norm_backward_shapes);
  library.impl("where.self", where_shape);
  library.impl("where.self_out", where_out_shape);
  library.impl("index_select", index_select_shape);
  library.impl("convolution_overrideable", convolution_shape);
}

std::mutex mutex;
std::set<std::string> mixing;

std::unique_ptr<at::ObserverContext> look(const at::RecordFunction& call) {
  static const std::set<std::string> copies{"aten::copy_", "aten::_to_copy", "aten::to"};
  bool on_cpu = false, elsewhere = false;
  const auto add = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    if (!t.device().is_cpu()) elsewhere = true;
    if (t.device().is_cpu() && t.dim() > 0) on_cpu = true;
  };
  for (const auto& input : call.inputs()) {
    if (input.isTensor()) add(input.toTensor());
    if (input.isTensorList()) {
      for (const at::Tensor& t : input.toTensorList()) add(t);
    }
  }
  if (on_cpu && elsewhere && !copies.contains(call.name())) {
    const std::lock_guard lock(mutex);
    mixing.insert(call.name());
  }
  return nullptr;
}

}  // namespace

MixWatch::MixWatch() : handle_(at::addGlobalCallback(at::RecordFunctionCallback(look).needsInputs(true))) {
  const std::lock_guard lock(mutex);
  mixing.clear();
}

MixWatch::~MixWatch() { at::removeCallback(handle_); }

std::set<std::string> MixWatch::found() {
  const std::lock_guard lock(mutex);
  return mixing;
}

}  // namespace loraptor::test
