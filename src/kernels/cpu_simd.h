// Helpers of the CPU kernels: one loop for float32 and bfloat16, compiled for several instruction sets.
#pragma once

#include <bit>
#include <cstdint>

/// Compiles a function once per instruction set; the loader picks by what the processor can do (with the name of a
/// processor such as arch=haswell it would pick by model, and later ones would get the oldest). Helpers that it calls
/// must be LORAPTOR_INLINE.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define LORAPTOR_CPU_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define LORAPTOR_CPU_CLONES
#endif
#define LORAPTOR_INLINE inline __attribute__((always_inline))

/// Functions for one instruction set, where the loop itself depends on the width of its registers. Call them only where
/// `vector_lanes` says so.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define LORAPTOR_8_LANES __attribute__((target("arch=x86-64-v3")))
#define LORAPTOR_16_LANES __attribute__((target("arch=x86-64-v4")))
#endif

namespace loraptor::kernels::cpu {

/// Floats in the widest registers of this processor that this build has loops for: 16, 8, or 0 for none.
inline int vector_lanes() {
#ifdef LORAPTOR_8_LANES
  if (__builtin_cpu_supports("x86-64-v4")) return 16;
  if (__builtin_cpu_supports("x86-64-v3")) return 8;
#endif
  return 0;
}

/// kLanes floats in one register (`type`), and in memory, where they need no alignment (`memory`).
template <int kLanes>
struct VectorOf;
template <>
struct VectorOf<8> {
  typedef float type __attribute__((vector_size(32)));
  typedef float memory __attribute__((vector_size(32), aligned(4), may_alias));
};
template <>
struct VectorOf<16> {
  typedef float type __attribute__((vector_size(64)));
  typedef float memory __attribute__((vector_size(64), aligned(4), may_alias));
};

/// The bits of a bfloat16 number.
struct Bf16 {
  uint16_t bits;
};

LORAPTOR_INLINE float load(const float* p) { return *p; }
LORAPTOR_INLINE float load(const Bf16* p) { return std::bit_cast<float>(static_cast<uint32_t>(p->bits) << 16); }

LORAPTOR_INLINE void store(float* p, float value) { *p = value; }

/// Rounds to nearest, ties to even; NaN stays NaN.
LORAPTOR_INLINE void store(Bf16* p, float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  const bool is_nan = (u & 0x7FFFFFFFu) > 0x7F800000u;
  p->bits = static_cast<uint16_t>(is_nan ? 0x7FC0u : rounded);
}

}  // namespace loraptor::kernels::cpu
