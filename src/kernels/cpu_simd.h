// Helpers of the CPU kernels: loops that serve float32 and bfloat16, compiled once for each instruction set.
//
// Raw loops (x_cpu.cpp) are compiled several times, with LORAPTOR_ISA naming the set, and include nothing that could
// leave functions behind which the linker might then use on a CPU without that set.
#pragma once

#include <cstdint>

#define LORAPTOR_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
/// Declares a function of the raw loops for every instruction set.
#define LORAPTOR_DECLARE_PER_ISA(declaration) \
  namespace base {                            \
  declaration;                                \
  }                                           \
  namespace avx2 {                            \
  declaration;                                \
  }                                           \
  namespace avx512 {                          \
  declaration;                                \
  }
/// The function for this CPU.
#define LORAPTOR_FOR_THIS_CPU(function)                                                             \
  (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") ? cpu::avx512::function \
   : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")        ? cpu::avx2::function   \
                                                                            : cpu::base::function)
#else
#define LORAPTOR_DECLARE_PER_ISA(declaration) \
  namespace base {                            \
  declaration;                                \
  }
#define LORAPTOR_FOR_THIS_CPU(function) cpu::base::function
#endif

namespace loraptor::kernels::cpu {

/// The bits of a bfloat16 number.
enum class Bf16 : uint16_t {};

LORAPTOR_INLINE float load(const float* p) { return *p; }
LORAPTOR_INLINE float load(const Bf16* p) { return __builtin_bit_cast(float, static_cast<uint32_t>(*p) << 16); }

LORAPTOR_INLINE void store(float* p, float value) { *p = value; }

/// Rounds to nearest, ties to even; NaN stays NaN.
LORAPTOR_INLINE void store(Bf16* p, float value) {
  const uint32_t u = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  const bool is_nan = (u & 0x7FFFFFFFu) > 0x7F800000u;
  *p = static_cast<Bf16>(is_nan ? 0x7FC0u : rounded);
}

}  // namespace loraptor::kernels::cpu
