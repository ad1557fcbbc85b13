#include "kernels/split_heads.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "kernels/cpu_parts.h"
#include "kernels/split_heads_cpu.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

cpu::HeadArray head_array(const at::Tensor& t) {
  // The kernels write only to tensors of their own.
  return {const_cast<void*>(t.const_data_ptr()), t.stride(0), t.stride(1), t.stride(2)};
}

// Weights: q and k norm of each source, float32; undefined without norms.
cpu::HeadRows describe(const at::Tensor& qkv, const at::Tensor& q_norm, const at::Tensor& k_norm, int64_t heads,
                       int64_t first) {
  return {qkv.size(1),
          heads,
          qkv.size(2) / 3 / heads,
          first,
          qkv.scalar_type() == at::kBFloat16,
          qkv.const_data_ptr(),
          q_norm.defined() ? q_norm.const_data_ptr<float>() : nullptr,
          k_norm.defined() ? k_norm.const_data_ptr<float>() : nullptr,
          static_cast<float>(kQkNormEps)};
}

struct SplitHeads : torch::autograd::Function<SplitHeads> {
  // qkv: one per source. norms: two per source, as in describe().
  static variable_list forward(AutogradContext* ctx, at::TensorList qkv, const std::vector<at::Tensor>& norms,
                               int64_t heads) {
    int64_t total = 0;
    for (const auto& source : qkv) total += source.size(1);
    const int64_t batch = qkv[0].size(0), width = qkv[0].size(2) / 3;
    variable_list out;
    for (int i = 0; i < 3; ++i) out.push_back(at::empty({batch, heads, total, width / heads}, qkv[0].options()));
    const cpu::HeadArray arrays[3] = {head_array(out[0]), head_array(out[1]), head_array(out[2])};
    variable_list saved;
    int64_t first = 0;
    for (size_t s = 0; s < qkv.size(); ++s) {
      saved.push_back(qkv[s].contiguous());
      const auto rows = describe(saved.back(), norms[2 * s], norms[2 * s + 1], heads, first);
      const int64_t count = batch * rows.tokens;
      for_each_part(count, row_parts(count, 3 * width),
                    [&](int64_t, int64_t begin, int64_t end) { cpu::split_heads_forward(rows, arrays, begin, end); });
      first += rows.tokens;
    }
    saved.insert(saved.end(), norms.begin(), norms.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["sources"] = static_cast<int64_t>(qkv.size());
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto sources = static_cast<size_t>(ctx->saved_data["sources"].toInt());
    const int64_t heads = ctx->saved_data["heads"].toInt();
    int64_t total = 0;
    for (size_t s = 0; s < sources; ++s) total += saved[s].size(1);
    const int64_t batch = saved[0].size(0), width = saved[0].size(2) / 3;
    for (auto& g : gradients) {
      if (!g.defined()) g = at::zeros({batch, heads, total, width / heads}, saved[0].options());
      if (g.stride(-1) != 1) g = g.contiguous();
    }
    const cpu::HeadArray arrays[3] = {head_array(gradients[0]), head_array(gradients[1]), head_array(gradients[2])};
    variable_list result(sources + 2);  // one for each qkv, then norms and heads
    int64_t first = 0;
    for (size_t s = 0; s < sources; ++s) {
      const auto rows = describe(saved[s], saved[sources + 2 * s], saved[sources + 2 * s + 1], heads, first);
      first += rows.tokens;
      if (!ctx->needs_input_grad(s)) continue;
      result[s] = at::empty_like(saved[s]);
      void* dqkv = result[s].mutable_data_ptr();
      const int64_t count = batch * rows.tokens;
      for_each_part(count, row_parts(count, 3 * width), [&](int64_t, int64_t begin, int64_t end) {
        cpu::split_heads_backward(rows, arrays, dqkv, begin, end);
      });
    }
    return result;
  }
};

at::Tensor rms_normalised(const at::Tensor& x, const at::Tensor& weight) {
  if (!weight.defined()) return x;
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto v = x.to(wide);
  const auto scale = at::rsqrt(v.square().mean(-1, /*keepdim=*/true) + kQkNormEps);
  return (v * scale * weight.to(wide)).to(x.scalar_type());
}

}  // namespace

Heads split_heads_plain(const std::vector<QkvSource>& sources, int64_t heads) {
  std::vector<at::Tensor> q, k, v;
  for (const auto& source : sources) {
    const int64_t batch = source.qkv.size(0), tokens = source.qkv.size(1);
    const auto parts = source.qkv.reshape({batch, tokens, 3, heads, -1}).unbind(2);  // [B,L,3D] -> 3 x [B,L,h,D/h]
    q.push_back(rms_normalised(parts[0], source.q_norm).transpose(1, 2));
    k.push_back(rms_normalised(parts[1], source.k_norm).transpose(1, 2));
    v.push_back(parts[2].transpose(1, 2));
  }
  if (sources.size() == 1) return {q[0], k[0], v[0]};
  return {at::cat(q, 2), at::cat(k, 2), at::cat(v, 2)};
}

Heads split_heads(const std::vector<QkvSource>& sources, int64_t heads) {
  LORAPTOR_ASSERT(!sources.empty() && sources[0].qkv.size(2) % (3 * heads) == 0);
  std::vector<at::Tensor> qkv, norms;
  for (const auto& source : sources) {
    if (!has_cpu_kernel(source.qkv) || source.qkv.scalar_type() != sources[0].qkv.scalar_type()) {
      return split_heads_plain(sources, heads);
    }
    qkv.push_back(source.qkv);
    for (const auto& norm : {source.q_norm, source.k_norm}) {
      norms.push_back(norm.defined() ? norm.to(at::kFloat).contiguous() : norm);
    }
  }
  auto out = SplitHeads::apply(at::TensorList(qkv), norms, heads);
  return {out[0], out[1], out[2]};
}

}  // namespace loraptor::kernels
