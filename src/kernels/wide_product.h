// Products with a whole weight, cut by hand among the threads.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// out = start + a b, without a graph. For float32 on the CPU each thread makes its own columns by a product of the
/// library on one thread: the library's threads wait for each other within a product, a tenth of its time.
///   a       [N,K]
///   b       [K,M]
///   start   [M], [N,M] (it may be `out`), or undefined: nothing is added
///   out     [N,M]; its rows may lie apart
void wide_product(const at::Tensor& out, const at::Tensor& start, const at::Tensor& a, const at::Tensor& b);

/// The same into a new tensor.
at::Tensor wide_product(const at::Tensor& start, const at::Tensor& a, const at::Tensor& b);

}  // namespace loraptor::kernels
