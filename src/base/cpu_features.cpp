#include "base/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace loraptor {
namespace {

#if defined(__x86_64__)
/// Not every compiler knows this feature by name.
bool has_amx_tiles() {
  constexpr unsigned kAmxTile = 1u << 24;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kAmxTile) != 0;
}
#endif

CpuFeatures detect_cpu_features() {
  CpuFeatures features;
#if defined(__x86_64__)
  features.intel = __builtin_cpu_is("intel");
  features.avx512 = __builtin_cpu_supports("avx512f");
  features.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
  features.amx = has_amx_tiles();
#endif
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect_cpu_features();
  return features;
}

}  // namespace loraptor
