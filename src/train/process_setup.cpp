#include "train/process_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "tensor/device.h"

namespace loraptor::train {
namespace {

tensor::MatmulPrecision matmul_precision(const std::string& name) {
  if (name == "highest") return tensor::MatmulPrecision::highest;
  return name == "fast" ? tensor::MatmulPrecision::fast : tensor::MatmulPrecision::automatic;
}

at::Device choose_device(const TrainConfig& config, const dist::World& world) {
  if (config.loop.device == "cuda" && !at::hasCUDA()) {
    throw UsageError(
        fmt::format("[--device] no GPU: got cuda, found {}.\nHint: --device cpu.", tensor::describe_device()));
  }
  const at::Device device = config.loop.device == "cpu" ? at::Device(at::kCPU) : tensor::default_device();
  if (device.is_cpu() || world.is_alone()) return device;
  const int64_t gpus = at::detail::getCUDAHooks().getNumGPUs();
  if (world.local_rank >= gpus) {
    throw UsageError(
        fmt::format("[processes] GPUs: got {}, expected one for each process of this machine (this is "
                    "number {}).\nHint: start fewer processes, or --device cpu.",
                    gpus, world.local_rank + 1));
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(world.local_rank)};
}

}  // namespace

at::Device set_up_process(const TrainConfig& config, const dist::World& world) {
  if (config.loop.cpu_threads) at::set_num_threads(static_cast<int>(*config.loop.cpu_threads));
  tensor::set_matmul_precision(matmul_precision(config.memory.cpu_matmul));
  if (config.memory.deterministic) at::globalContext().setDeterministicAlgorithms(true, false);
  const at::Device device = choose_device(config, world);
  log::info("device: {}{}", config.loop.device == "cpu" ? tensor::describe_cpu() : tensor::describe_device(),
            world.is_alone() ? "" : fmt::format(", {} processes", world.size));
  return device;
}

}  // namespace loraptor::train
