#include "nn/attention.h"

namespace loraptor::nn {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto out = at::scaled_dot_product_attention(q, k, v);
  return out.transpose(1, 2).reshape({q.size(0), q.size(2), q.size(1) * q.size(3)});  // [B,h,L,D/h] -> [B,L,D]
}

}  // namespace loraptor::nn
