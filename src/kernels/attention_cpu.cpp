#include "kernels/attention_cpu.h"

#include <cmath>

#include "base/error.h"
#include "kernels/cpu_exp.h"
#include "kernels/register_tile.h"

// A few queries at a time see all keys, so that their scores fit into a cache and a row's sum is known at once. The
// scores are computed again in the backward pass: nothing of the size queries x keys is kept. Keys and values are
// packed into panels once for a head.
// Ref: arXiv:2205.14135 §3.1, algorithm 1 and appendix B, without its blocks of keys.

namespace loraptor::kernels::cpu {

#ifdef LORAPTOR_8_LANES
namespace {

/// Queries that are handled together: as many as let their scores lie in 128 KiB.
int64_t queries_at_once(int64_t keys) {
  constexpr int64_t kScores = 1 << 15;
  return std::clamp<int64_t>(kScores / keys / kTileRows, 2, 8) * kTileRows;
}

int64_t padded(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/// A matrix as panels of columns, one behind the other.
struct Panels {
  const float* data;
  int64_t depth, columns;
};

/// Takes the memory that panels or scores need from the front of what is left.
float* take(float*& memory, int64_t count) {
  float* const taken = memory;
  memory += count;
  return taken;
}

template <int kLanes>
LORAPTOR_INLINE Panels pack(const Rows& m, float*& memory) {
  constexpr int64_t kColumns = kTileColumns<kLanes>;
  float* const to = take(memory, m.rows * padded(m.columns, kColumns));
  for (int64_t j = 0; j < m.columns; j += kColumns) pack_panel<kLanes>(m, j, to + j * m.rows);
  return {to, m.rows, m.columns};
}

template <int kLanes>
LORAPTOR_INLINE Panels pack_transposed(const Rows& m, float scale, float*& memory) {
  constexpr int64_t kColumns = kTileColumns<kLanes>;
  float* const to = take(memory, m.columns * padded(m.rows, kColumns));
  for (int64_t j = 0; j < m.rows; j += kColumns) pack_transposed_panel<kLanes>(m, j, scale, to + j * m.columns);
  return {to, m.columns, m.rows};
}

/// c = a b, or c += a b. `c` has room for whole panels.
template <int kLanes, bool kAdd = false>
LORAPTOR_INLINE void multiply(const LeftFactor& a, const Panels& b, const MutableRows& c) {
  for (int64_t j = 0; j < b.columns; j += kTileColumns<kLanes>) {
    multiply_panel<kLanes, kAdd>(a, b.data + j * b.depth, b.depth, c.data + j, c.stride, c.rows);
  }
}

LORAPTOR_INLINE LeftFactor rows_of(const Rows& m) { return {m.data, m.stride, 1}; }
LORAPTOR_INLINE LeftFactor rows_of(const MutableRows& m) { return {m.data, m.stride, 1}; }
LORAPTOR_INLINE LeftFactor columns_of(const MutableRows& m) { return {m.data, 1, m.stride}; }

/// exp(-t) that keeps what is not a number.
LORAPTOR_INLINE float exp_or_nan(float t) { return t == t ? exp_of_minus(t) : t; }

/// Makes exponentials of a row of scores, relative to the largest. Returns the logarithm of the sum of exp(scores), and
/// the sum of what it wrote in `sum`.
LORAPTOR_INLINE float exponentials(float* scores, int64_t keys, float& sum) {
  float largest = -INFINITY, total = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < keys; ++j) largest = scores[j] > largest ? scores[j] : largest;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < keys; ++j) {
    const float e = exp_or_nan(largest - scores[j]);
    scores[j] = e;
    total += e;
  }
  sum = total;
  return largest + std::log(total);
}

template <int kLanes>
LORAPTOR_INLINE void forward(const Rows& q, const Rows& k, const Rows& v, const MutableRows& out, float* log_sums,
                             float* memory) {
  const int64_t keys = k.rows, step = queries_at_once(keys), stride = padded(keys, kTileColumns<kLanes>);
  const auto keys_packed = pack_transposed<kLanes>(k, 1 / std::sqrt(static_cast<float>(q.columns)), memory);
  const auto values_packed = pack<kLanes>(v, memory);
  float* const scores = take(memory, step * stride);
  for (int64_t i = 0; i < q.rows; i += step) {
    const int64_t count = std::min(step, q.rows - i);
    const MutableRows weights{scores, stride, count, keys}, result = out.part(i, i + count);
    multiply<kLanes>(rows_of(q.part(i, i + count)), keys_packed, weights);
    float scale[8 * kTileRows];
    for (int64_t r = 0; r < count; ++r) {
      float sum = 0;
      log_sums[i + r] = exponentials(weights.row(r), keys, sum);
      scale[r] = 1 / sum;
    }
    multiply<kLanes>(rows_of(weights), values_packed, result);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t c = 0; c < result.columns; ++c) result.row(r)[c] *= scale[r];
    }
  }
}

/// With weights P = exp(scores - log sum): dV = P^T dO; dS = P (dO V^T - m), m the mean of dO V^T by P, the gradient of
/// the scores.
template <int kLanes>
LORAPTOR_INLINE void backward(const AttentionSaved& saved, const MutableRows& dq, const MutableRows& dk,
                              const MutableRows& dv, float* memory) {
  const int64_t keys = saved.k.rows, size = saved.k.columns, step = queries_at_once(keys);
  const int64_t stride = padded(keys, kTileColumns<kLanes>);
  const float scale = 1 / std::sqrt(static_cast<float>(size));
  const auto keys_transposed = pack_transposed<kLanes>(saved.k, scale, memory);
  const auto values_transposed = pack_transposed<kLanes>(saved.v, 1, memory);
  const auto keys_packed = pack<kLanes>(saved.k, memory);
  float *const weights_memory = take(memory, step * stride), *const scores_memory = take(memory, step * stride);
  float* const rest = memory;
  for (int64_t i = 0; i < saved.q.rows; i += step) {
    const int64_t count = std::min(step, saved.q.rows - i);
    const auto q = saved.q.part(i, i + count), gradient = saved.gradient.part(i, i + count);
    const MutableRows weights{weights_memory, stride, count, keys}, dscores{scores_memory, stride, count, keys};
    multiply<kLanes>(rows_of(q), keys_transposed, weights);
    multiply<kLanes>(rows_of(gradient), values_transposed, dscores);
    for (int64_t r = 0; r < count; ++r) {
      float *const p = weights.row(r), *const ds = dscores.row(r);
      const float log_sum = saved.log_sums[i + r];
      // As the sum over keys, not as dO.O: where one key has all the weight, the difference is exactly 0.
      float mean = 0;
#pragma omp simd reduction(+ : mean)
      for (int64_t j = 0; j < keys; ++j) {
        p[j] = exp_or_nan(log_sum - p[j]);
        mean += p[j] * ds[j];
      }
#pragma omp simd
      for (int64_t j = 0; j < keys; ++j) ds[j] = p[j] * (ds[j] - mean) * scale;
    }
    memory = rest;
    const auto q_packed = pack<kLanes>(q, memory), gradient_packed = pack<kLanes>(gradient, memory);
    if (i == 0) {
      multiply<kLanes>(columns_of(weights), gradient_packed, dv);
      multiply<kLanes>(columns_of(dscores), q_packed, dk);
    } else {
      multiply<kLanes, true>(columns_of(weights), gradient_packed, dv);
      multiply<kLanes, true>(columns_of(dscores), q_packed, dk);
    }
    multiply<kLanes>(rows_of(dscores), keys_packed, dq.part(i, i + count));
  }
}

// One function for each width; the same arguments.
LORAPTOR_8_LANES void forward_8(const Rows& q, const Rows& k, const Rows& v, const MutableRows& out, float* log_sums,
                                float* memory) {
  forward<8>(q, k, v, out, log_sums, memory);
}
LORAPTOR_16_LANES void forward_16(const Rows& q, const Rows& k, const Rows& v, const MutableRows& out, float* log_sums,
                                  float* memory) {
  forward<16>(q, k, v, out, log_sums, memory);
}
LORAPTOR_8_LANES void backward_8(const AttentionSaved& saved, const MutableRows& dq, const MutableRows& dk,
                                 const MutableRows& dv, float* memory) {
  backward<8>(saved, dq, dk, dv, memory);
}
LORAPTOR_16_LANES void backward_16(const AttentionSaved& saved, const MutableRows& dq, const MutableRows& dk,
                                   const MutableRows& dv, float* memory) {
  backward<16>(saved, dq, dk, dv, memory);
}

constexpr int64_t kWidestTile = kTileColumns<16>;

}  // namespace

bool has_attention_loop(int64_t head_size) { return vector_lanes() > 0 && head_size % kWidestTile == 0; }

int64_t attention_forward_memory(int64_t keys, int64_t head_size) {
  return padded(keys, kWidestTile) * (2 * head_size + queries_at_once(keys));
}

int64_t attention_backward_memory(int64_t keys, int64_t head_size) {
  const int64_t queries = queries_at_once(keys);
  return padded(keys, kWidestTile) * (3 * head_size + 2 * queries) + 2 * queries * head_size;
}

void attention_forward(const Rows& q, const Rows& k, const Rows& v, const MutableRows& out, float* log_sums,
                       float* memory) {
  (vector_lanes() == 16 ? forward_16 : forward_8)(q, k, v, out, log_sums, memory);
}

void attention_backward(const AttentionSaved& saved, const MutableRows& dq, const MutableRows& dk,
                        const MutableRows& dv, float* memory) {
  (vector_lanes() == 16 ? backward_16 : backward_8)(saved, dq, dk, dv, memory);
}

#else  // this build has no such loops; nobody may call them

bool has_attention_loop(int64_t) { return false; }
int64_t attention_forward_memory(int64_t, int64_t) { return 0; }
int64_t attention_backward_memory(int64_t, int64_t) { return 0; }
void attention_forward(const Rows&, const Rows&, const Rows&, const MutableRows&, float*, float*) {
  LORAPTOR_ASSERT(has_attention_loop(0));
}
void attention_backward(const AttentionSaved&, const MutableRows&, const MutableRows&, const MutableRows&, float*) {
  LORAPTOR_ASSERT(has_attention_loop(0));
}

#endif

}  // namespace loraptor::kernels::cpu
