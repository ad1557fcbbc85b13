// Products in which one matrix has few rows, as those of a LoRA do. They are bound by reading the wide matrix once.
#pragma once

#include <ATen/ATen.h>

namespace loraptor::kernels {

/// Whether [..,K] has so few rows that loops of our own are faster than the library's products.
bool has_narrow_loop(const at::Tensor& narrow);

/// a x^T: [r,K], [N,K] -> [r,N].
at::Tensor narrow_dots(const at::Tensor& a, const at::Tensor& x);

/// scale h x: [r,N], [N,K] -> [r,K].
at::Tensor narrow_sums(const at::Tensor& h, const at::Tensor& x, double scale = 1);

/// y += scale h^T b, in place: [N,K], [r,N], [r,K].
void add_narrow(const at::Tensor& y, const at::Tensor& h, const at::Tensor& b, double scale);

/// scale m^T with contiguous rows: [K,r] -> [r,K].
at::Tensor narrow_transposed(const at::Tensor& m, double scale = 1);

}  // namespace loraptor::kernels
