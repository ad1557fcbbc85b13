// Raw loops of the narrow products.
#pragma once

#include <cstdint>

#include "kernels/matrix_rows.h"

namespace loraptor::kernels::cpu {

/// h[j][n] = a[j] . x[n] for begin <= n < end.
void narrow_dots(const Rows& a, const Rows& x, const MutableRows& h, int64_t begin, int64_t end);

/// sums[j][k] = scale * sum over n of h[j][n] x[n][k] for begin <= k < end.
void narrow_sums(const Rows& h, const Rows& x, float scale, const MutableRows& sums, int64_t begin, int64_t end);

/// y[n][k] += scale * sum over j of h[j][n] b[j][k] for begin <= n < end.
void add_narrow(const MutableRows& y, const Rows& h, const Rows& b, float scale, int64_t begin, int64_t end);

/// rows[j][k] = scale * m[k][j].
void narrow_transposed(const Rows& m, float scale, const MutableRows& rows);

}  // namespace loraptor::kernels::cpu
