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

// Where the tokens of each source lie among the joined ones.
struct Layout {
  int64_t heads;
  std::vector<int64_t> attends;  // per source: 0 or 1
  int64_t keys = 0, queries = 0;

  Layout(int64_t heads, std::vector<int64_t> attends) : heads(heads), attends(std::move(attends)) {}

  // Adds the next source. Norms are float32, or undefined.
  cpu::HeadRows add(const at::Tensor& qkv, const at::Tensor& q_norm, const at::Tensor& k_norm, size_t source) {
    const cpu::HeadRows rows{.tokens = qkv.size(1),
                             .heads = heads,
                             .size = qkv.size(2) / 3 / heads,
                             .first = keys,
                             .first_query = attends[source] != 0 ? queries : -1,
                             .bf16 = qkv.scalar_type() == at::kBFloat16,
                             .qkv = qkv.const_data_ptr(),
                             .q_norm = q_norm.defined() ? q_norm.const_data_ptr<float>() : nullptr,
                             .k_norm = k_norm.defined() ? k_norm.const_data_ptr<float>() : nullptr,
                             .eps = static_cast<float>(kQkNormEps)};
    keys += rows.tokens;
    if (attends[source] != 0) queries += rows.tokens;
    return rows;
  }
};

struct SplitHeads : torch::autograd::Function<SplitHeads> {
  // qkv: one per source. norms: two per source, as in Layout::add.
  static variable_list forward(AutogradContext* ctx, at::TensorList qkv, const std::vector<at::Tensor>& norms,
                               const std::vector<int64_t>& attends, int64_t heads) {
    variable_list saved;
    std::vector<cpu::HeadRows> rows;
    Layout layout(heads, attends);
    for (size_t s = 0; s < qkv.size(); ++s) {
      saved.push_back(qkv[s].contiguous());
      rows.push_back(layout.add(saved.back(), norms[2 * s], norms[2 * s + 1], s));
    }
    const int64_t batch = qkv[0].size(0), size = rows[0].size;
    variable_list out{at::empty({batch, heads, layout.queries, size}, qkv[0].options()),
                      at::empty({batch, heads, layout.keys, size}, qkv[0].options()),
                      at::empty({batch, heads, layout.keys, size}, qkv[0].options())};
    const cpu::HeadArray arrays[3] = {head_array(out[0]), head_array(out[1]), head_array(out[2])};
    for (const auto& source : rows) {
      const int64_t count = batch * source.tokens;
      for_each_part(count, row_parts(count, 3 * heads * size),
                    [&](int64_t, int64_t begin, int64_t end) { cpu::split_heads_forward(source, arrays, begin, end); });
    }
    saved.insert(saved.end(), norms.begin(), norms.end());
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["attends"] = attends;
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    Layout layout(ctx->saved_data["heads"].toInt(), ctx->saved_data["attends"].toIntVector());
    const size_t sources = layout.attends.size();
    // An output that nobody used has a gradient of zeros here, expanded from one element.
    for (auto& g : gradients) {
      if (g.stride(-1) != 1) g = g.contiguous();
    }
    const cpu::HeadArray arrays[3] = {head_array(gradients[0]), head_array(gradients[1]), head_array(gradients[2])};
    variable_list result(sources + 3);  // one for each qkv, then norms, attends and heads
    for (size_t s = 0; s < sources; ++s) {
      const auto rows = layout.add(saved[s], saved[sources + 2 * s], saved[sources + 2 * s + 1], s);
      if (!ctx->needs_input_grad(s)) continue;
      result[s] = at::empty_like(saved[s]);
      void* dqkv = result[s].mutable_data_ptr();
      const int64_t count = saved[s].size(0) * rows.tokens;
      for_each_part(count, row_parts(count, saved[s].size(2)), [&](int64_t, int64_t begin, int64_t end) {
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
    if (source.attends) q.push_back(rms_normalised(parts[0], source.q_norm).transpose(1, 2));
    k.push_back(rms_normalised(parts[1], source.k_norm).transpose(1, 2));
    v.push_back(parts[2].transpose(1, 2));
  }
  const auto join = [](const std::vector<at::Tensor>& parts) {
    return parts.size() == 1 ? parts[0] : at::cat(parts, 2);
  };
  return {join(q), join(k), join(v)};
}

Heads split_heads(const std::vector<QkvSource>& sources, int64_t heads) {
  LORAPTOR_ASSERT(!sources.empty() && sources[0].qkv.size(2) % (3 * heads) == 0);
  std::vector<at::Tensor> qkv, norms;
  std::vector<int64_t> attends;
  for (const auto& source : sources) {
    if (!has_cpu_kernel(source.qkv) || source.qkv.scalar_type() != sources[0].qkv.scalar_type()) {
      return split_heads_plain(sources, heads);
    }
    qkv.push_back(source.qkv);
    attends.push_back(source.attends);
    for (const auto& norm : {source.q_norm, source.k_norm}) {
      norms.push_back(norm.defined() ? norm.to(at::kFloat).contiguous() : norm);
    }
  }
  auto out = SplitHeads::apply(at::TensorList(qkv), norms, attends, heads);
  return {out[0], out[1], out[2]};
}

}  // namespace loraptor::kernels
