#include "kernels/wide_product.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cpu_parts.h"

namespace loraptor::kernels {
namespace {

constexpr int64_t kPiece = 16;        // columns that a thread takes together: whole cache lines
constexpr int64_t kFewestPieces = 6;  // for each thread; with fewer it would pack `a` for too little work

void library_product(at::Tensor out, const at::Tensor& start, const at::Tensor& a, const at::Tensor& b) {
  start.defined() ? at::addmm_out(out, start, a, b) : at::mm_out(out, a, b);
}

bool cuts_product(const at::Tensor& a) {
  return a.device().is_cpu() && a.scalar_type() == at::kFloat && at::get_num_threads() > 1 && !at::in_parallel_region();
}

}  // namespace

void wide_product(const at::Tensor& out, const at::Tensor& start, const at::Tensor& a, const at::Tensor& b) {
  LORAPTOR_ASSERT(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0));
  LORAPTOR_ASSERT(out.dim() == 2 && out.size(0) == a.size(0) && out.size(1) == b.size(1));
  const int64_t columns = b.size(1), pieces = (columns + kPiece - 1) / kPiece;
  const int64_t threads = at::get_num_threads();
  if (!cuts_product(a) || pieces < threads * kFewestPieces) return library_product(out, start, a, b);
  for_each_part(pieces, threads, [&](int64_t, int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;  // of each thread
    const int64_t first = begin * kPiece, count = std::min(end * kPiece, columns) - first;
    library_product(out.narrow(1, first, count), start.defined() ? start.narrow(-1, first, count) : start, a,
                    b.narrow(1, first, count));
  });
}

at::Tensor wide_product(const at::Tensor& start, const at::Tensor& a, const at::Tensor& b) {
  const auto out = at::empty({a.size(0), b.size(1)}, a.options());
  wide_product(out, start, a, b);
  return out;
}

}  // namespace loraptor::kernels
