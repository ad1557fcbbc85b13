// The second moment of a matrix kept as the means of its rows and columns, as Adafactor and CAME do.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace loraptor::optim {

/// Shapes of the two means of a tensor [..,rows,columns]: [..,rows] and [..,columns].
std::vector<int64_t> row_means_shape(at::IntArrayRef sizes);
std::vector<int64_t> column_means_shape(at::IntArrayRef sizes);

/// Moves both means towards those of `square` [..,rows,columns]: mean = keep * mean + (1 - keep) * mean(square).
void update_means(at::Tensor& rows, at::Tensor& columns, const at::Tensor& square, double keep);

/// 1 / sqrt(moment) [..,rows,columns], where moment = rows x columns / mean(rows).
/// Ref: arXiv:1804.04235 algorithm 4.
at::Tensor inverse_root(const at::Tensor& rows, const at::Tensor& columns);

/// Root mean square of all elements.
double rms(const at::Tensor& x);

}  // namespace loraptor::optim
