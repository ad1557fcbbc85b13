#include "tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdlib>
#include <thread>

#include "base/cpu_features.h"
#include "base/error.h"

namespace loraptor::tensor {
namespace {

// MKL uses AVX-512 on Intel's processors only; on others oneDNN's float32 product is up to twice as fast, while without
// AVX-512 MKL's is faster by a fifth. With AMX oneDNN would go below float32.
bool onednn_is_faster() {
  const auto& cpu = cpu_features();
  return cpu.avx512 && !cpu.amx && !cpu.intel;
}

}  // namespace

at::Device default_device() { return at::hasCUDA() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU); }

at::Device named_device(const std::string& name, std::string_view flag) {
  const bool is_cuda = name == "cuda" || name.starts_with("cuda:");
  if (name != "cpu" && !is_cuda) {
    throw UsageError(fmt::format("[{}] device: got '{}', expected cpu or cuda.", flag, name));
  }
  if (is_cuda && !at::hasCUDA()) {
    throw UsageError(fmt::format("[{}] no GPU: got {}, found {}.\nHint: {} cpu.", flag, name, describe_device(), flag));
  }
  return at::Device(name);
}

std::string describe_device() {
  if (at::hasCUDA()) return "CUDA device 0";
  const char* why = built_with_cuda() ? " (this build can use CUDA, but no NVIDIA driver was found)" : "";
  return describe_cpu() + why;
}

std::string describe_cpu() {
  const int threads = at::get_num_threads();
  const unsigned cpus = std::thread::hardware_concurrency();
  const char* limit = std::getenv("OMP_NUM_THREADS");
  std::string text = fmt::format("CPU, {} thread{}", threads, threads == 1 ? "" : "s");
  if (limit != nullptr && limit == std::to_string(threads) && static_cast<unsigned>(threads) < cpus) {
    // accelerate sets it, to --num_cpu_threads_per_process.
    text += fmt::format(" (OMP_NUM_THREADS={} of {} CPUs; --cpu_threads {} would use all)", limit, cpus, cpus);
  }
  return text;
}

void set_matmul_precision(MatmulPrecision precision) {
  // With a GPU the same switch would turn TF32 on there, so it stays at its most exact.
  const bool use_onednn = precision == MatmulPrecision::fast ||
                          (precision == MatmulPrecision::automatic && onednn_is_faster() && !at::hasCUDA());
  at::globalContext().setFloat32MatmulPrecision(use_onednn ? "medium" : "highest");
}

}  // namespace loraptor::tensor
