// What the memory settings do to the frozen models: how their blocks run and how their weights are stored.
#pragma once

#include <memory>
#include <vector>

#include "memory/block_runner.h"
#include "memory/memory_config.h"
#include "memory/swap_pool.h"
#include "models/mmdit.h"
#include "network/network.h"
#include "pipeline/encode_text.h"

namespace loraptor::train {

/// How the blocks of the MMDiT run: as they are, or computed again in the backward pass (`--gradient_checkpointing`;
/// `--cpu_offload_checkpointing` keeps their inputs in host memory). With `--blocks_to_swap` the model, which lies in
/// host memory until now, moves to `device` but for the weights of that many blocks at its end: those come when they
/// are used. Throws UsageError if the model has too few blocks for that.
std::unique_ptr<memory::BlockRunner> place_mmdit(models::MMDiT& mmdit, const memory::MemoryConfig& config,
                                                 at::Device device, at::ScalarType compute);

/// With `--gradient_checkpointing`: layers of the text encoders that are trained are computed again too.
void recompute_encoders(pipeline::TextEncoding& encoders, const memory::MemoryConfig& config, bool with_t5);

/// Stores the layers of the blocks as float8 (`--fp8_base`; the MMDiT's alone with `--fp8_base_unet`). What lies before
/// and after the blocks is small and stays as it is.
void store_blocks_as_fp8(const memory::MemoryConfig& config, const std::vector<network::TargetLinear>& targets);

}  // namespace loraptor::train
