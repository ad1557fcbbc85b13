#include "tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

namespace loraptor::tensor {
namespace {

bool cpu_has_amx() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("amx-tile") != 0;
#else
  return false;
#endif
}

}  // namespace

at::Device default_device() { return at::hasCUDA() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU); }

std::string describe_device() {
  if (at::hasCUDA()) return "CUDA device 0";
#ifdef LORAPTOR_WITH_CUDA
  return fmt::format("CPU, {} threads (this build can use CUDA, but no NVIDIA driver was found)", at::get_num_threads());
#else
  return fmt::format("CPU, {} threads", at::get_num_threads());
#endif
}

void set_matmul_precision(MatmulPrecision precision) {
  const bool use_onednn = precision == MatmulPrecision::fast ||
                          (precision == MatmulPrecision::automatic && !cpu_has_amx());
  at::globalContext().setFloat32MatmulPrecision(use_onednn ? "medium" : "highest");
}

}  // namespace loraptor::tensor
