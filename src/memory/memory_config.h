// Settings of precision, memory and speed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loraptor::memory {

/// Field names are the flags' names without dashes.
struct MemoryConfig {
  std::string mixed_precision = "no";      // compute dtype of frozen models: no | fp16 | bf16
  bool full_fp16 = false;                  // LoRA weights, gradients and states in fp16
  bool full_bf16 = false;                  // the same in bf16
  bool fp8_base = false;                   // frozen weights are stored as float8 e4m3
  bool fp8_base_unet = false;              // only those of the MMDiT
  bool gradient_checkpointing = false;     // recompute blocks in the backward pass
  bool cpu_offload_checkpointing = false;  // park checkpoint activations in host memory
  std::optional<int64_t> blocks_to_swap;   // MMDiT blocks whose weights stay in host memory
  bool lowram = false;                     // keep models on the device while caching text outputs
  bool highvram = false;                   // do not return device memory between cache batches
  std::string cpu_matmul = "auto";         // float32 products on the CPU: auto | highest | fast
  bool deterministic = false;              // deterministic kernels on CUDA; the CPU always is
};

}  // namespace loraptor::memory
