// The loops must run in the widest instruction set that the processor has.
#include "kernels/cpu_simd.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/narrow_product_cpu.h"

namespace loraptor::kernels::cpu {
namespace {

TEST(CpuClones, are_chosen_by_what_the_processor_can_do) {
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__clang__)
  if (!__builtin_cpu_supports("x86-64-v3")) GTEST_SKIP() << "this processor has no fused multiply-add";
  // -(1 + 2^-11) + (1 + 2^-12)^2 in one lane: nothing is left if the square is rounded before it is added.
  std::array<float, 32> a{}, x{};
  a[0] = -1;
  x[0] = 1 + 0x1p-11f;
  a[16] = x[16] = 1 + 0x1p-12f;
  float h = 0;
  narrow_dots({a.data(), 32, 1, 32}, {x.data(), 32, 1, 32}, {&h, 1, 1, 1}, 0, 1);
  EXPECT_EQ(h, 0x1p-24f);
#else
  GTEST_SKIP() << "this build compiles the loops once";
#endif
}

}  // namespace
}  // namespace loraptor::kernels::cpu
