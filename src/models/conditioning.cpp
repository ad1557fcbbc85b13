#include "models/conditioning.h"

#include <algorithm>

#include "base/error.h"

namespace loraptor::models {

Conditioning assemble_conditioning(const TextOutputs& text) {
  const int64_t missing = text.t5_out.size(-1) - text.lg_out.size(-1);
  LORAPTOR_ASSERT(text.lg_out.dim() == 3 && text.t5_out.dim() == 3 && missing >= 0);
  const auto lg = at::constant_pad_nd(text.lg_out.to(at::kFloat), {0, missing});  // [B,77,L+G] -> [B,77,C]
  const auto t5 = text.t5_out.to(lg.device(), at::kFloat);
  return {at::cat({lg, t5}, 1), text.lg_pooled.to(at::kFloat)};  // [B,77,C], [B,T,C] -> [B,77+T,C]
}

Conditioning join_batch(const Conditioning& first, const Conditioning& second) {
  const int64_t tokens = std::max(first.context.size(1), second.context.size(1));
  const auto padded = [&](const at::Tensor& context) {
    return at::constant_pad_nd(context, {0, 0, 0, tokens - context.size(1)});
  };
  return {at::cat({padded(first.context), padded(second.context)}, 0), at::cat({first.pooled, second.pooled}, 0)};
}

}  // namespace loraptor::models
