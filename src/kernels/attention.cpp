#include "kernels/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "kernels/attention_cpu.h"
#include "kernels/cpu_parts.h"

namespace loraptor::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kQueries = 48;  // that one thread takes together

/// Parts of the queries in the backward pass: two units a head, so that few heads keep several threads equally busy.
int64_t gradient_parts(int64_t queries) { return queries >= 4 * kQueries ? 2 : 1; }

/// Head number `index` of [B,h,L,size].
template <class T>
cpu::RowsOf<T> head_rows(T* data, const at::Tensor& t, int64_t index) {
  const int64_t b = index / t.size(1), h = index % t.size(1);
  return {data + b * t.stride(0) + h * t.stride(1), t.stride(2), t.size(2), t.size(3)};
}
cpu::Rows head_of(const at::Tensor& t, int64_t index) { return head_rows(t.const_data_ptr<float>(), t, index); }
cpu::MutableRows mutable_head_of(const at::Tensor& t, int64_t index) {
  return head_rows(t.mutable_data_ptr<float>(), t, index);
}

at::Tensor with_rows(const at::Tensor& t) { return t.stride(-1) == 1 ? t : t.contiguous(); }

/// [B,L,D] seen as [B,h,L,D/h].
at::Tensor as_heads(const at::Tensor& joined, int64_t heads) {
  return joined.unflatten(2, {heads, -1}).transpose(1, 2);
}

at::Tensor working_memory(int64_t floats) { return at::empty({floats}, at::kFloat); }

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in) {
    const auto q = with_rows(q_in), k = with_rows(k_in), v = with_rows(v_in);
    const int64_t batch = q.size(0), heads = q.size(1), queries = q.size(2), size = q.size(3), keys = k.size(2);
    const auto joined = at::empty({batch, queries, heads * size}, q.options());
    const auto out = as_heads(joined, heads), log_sums = at::empty({batch * heads, queries}, q.options());
    // In units of some queries of one head. Each query is alone, so the cut changes no number.
    const int64_t units = (queries + kQueries - 1) / kQueries, count = batch * heads * units;
    for_each_part(count, row_parts(count, kQueries * keys), [&](int64_t, int64_t begin, int64_t end) {
      const auto memory = working_memory(cpu::attention_forward_memory(keys, size));
      for (int64_t unit = begin; unit < end;) {
        const int64_t head = unit / units, next = std::min(end, (head + 1) * units);
        const int64_t first = unit % units * kQueries;
        const int64_t last = std::min(queries, first + (next - unit) * kQueries);
        cpu::attention_forward(head_of(q, head).part(first, last), head_of(k, head), head_of(v, head),
                               mutable_head_of(out, head).part(first, last),
                               log_sums.mutable_data_ptr<float>() + head * queries + first,
                               memory.mutable_data_ptr<float>());
        unit = next;
      }
    });
    ctx->save_for_backward({q, k, v, log_sums});
    return joined;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &log_sums = saved[3];
    const int64_t heads = q.size(1), queries = q.size(2), keys = k.size(2), count = q.size(0) * heads;
    const auto gradient = as_heads(with_rows(gradients[0]), heads);
    // Sums over queries are made in parts, whatever the number of threads: [parts*B,h,L,D/h].
    const int64_t parts = gradient_parts(queries), units = parts * count;
    const auto dq = at::empty(q.sizes(), q.options()), dk = k.new_empty({parts * k.size(0), heads, keys, k.size(3)});
    const auto dv = at::empty_like(dk);
    for_each_part(units, row_parts(units, queries * keys / parts), [&](int64_t, int64_t begin, int64_t end) {
      const auto memory = working_memory(cpu::attention_backward_memory(keys, k.size(3)));
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t part = unit / count, head = unit % count;
        const int64_t first = part * queries / parts, last = (part + 1) * queries / parts;
        const cpu::AttentionSaved operands{head_of(q, head).part(first, last), head_of(k, head), head_of(v, head),
                                           head_of(gradient, head).part(first, last),
                                           log_sums.const_data_ptr<float>() + head * queries + first};
        cpu::attention_backward(operands, mutable_head_of(dq, head).part(first, last), mutable_head_of(dk, unit),
                                mutable_head_of(dv, unit), memory.mutable_data_ptr<float>());
      }
    });
    if (parts == 1) return {dq, dk, dv};
    return {dq, dk.unflatten(0, {parts, -1}).sum(0), dv.unflatten(0, {parts, -1}).sum(0)};
  }
};

}  // namespace

at::Tensor attention_plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const auto out = at::scaled_dot_product_attention(q, k, v);
  return out.transpose(1, 2).reshape({q.size(0), q.size(2), q.size(1) * q.size(3)});  // [B,h,L,D/h] -> [B,L,D]
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  LORAPTOR_ASSERT(q.dim() == 4 && k.sizes() == v.sizes() && q.size(3) == k.size(3));
  const bool is_float = q.scalar_type() == at::kFloat && k.scalar_type() == at::kFloat && v.scalar_type() == at::kFloat;
  if (!q.device().is_cpu() || !is_float || !cpu::has_attention_loop(q.size(3))) return attention_plain(q, k, v);
  return Attention::apply(q, k, v);
}

}  // namespace loraptor::kernels
