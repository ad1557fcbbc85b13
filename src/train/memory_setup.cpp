#include "train/memory_setup.h"

#include <optional>

namespace loraptor::train {
namespace {

/// The number of the block that a layer of the MMDiT lies in.
std::optional<int64_t> block_of(const std::string& path) {
  constexpr std::string_view kBlocks = "joint_blocks.";
  if (!path.starts_with(kBlocks)) return std::nullopt;
  return std::stoll(path.substr(kBlocks.size()));
}

std::shared_ptr<memory::SwapPool> swap_blocks(models::MMDiT& mmdit, int64_t blocks_to_swap, at::Device device,
                                              at::ScalarType compute) {
  const int64_t first = mmdit.variant().depth - blocks_to_swap;
  auto pool = std::make_shared<memory::SwapPool>(device);
  mmdit.move_to(device, compute, [&](const std::string& path, nn::Linear& layer) -> nn::WeightSource {
    const auto block = block_of(path);
    if (!block || *block < first) return {};
    const size_t number = pool->add(*block, layer.weight().stored());
    return [pool, block = *block, number] { return pool->get(block, number); };
  });
  return pool;
}

std::unique_ptr<memory::BlockRunner> make_runner(const memory::MemoryConfig& config) {
  if (!config.gradient_checkpointing) return std::make_unique<memory::PlainRunner>();
  return std::make_unique<memory::CheckpointRunner>(
      config.cpu_offload_checkpointing ? memory::KeepInputs::in_host_memory : memory::KeepInputs::on_device);
}

}  // namespace

std::unique_ptr<memory::BlockRunner> place_mmdit(models::MMDiT& mmdit, const memory::MemoryConfig& config,
                                                 at::Device device, at::ScalarType compute) {
  auto runner = make_runner(config);
  const int64_t swapped = config.blocks_to_swap.value_or(0);
  if (swapped == 0 || device.is_cpu()) return runner;  // on the CPU all weights lie in host memory
  return std::make_unique<memory::SwapRunner>(std::move(runner), swap_blocks(mmdit, swapped, device, compute));
}

void recompute_encoders(pipeline::TextEncoding& encoders, const memory::MemoryConfig& config, bool with_t5) {
  if (!config.gradient_checkpointing) return;
  const std::shared_ptr<memory::BlockRunner> runner = make_runner(config);
  encoders.clip_l().set_runner(runner);
  encoders.clip_g().set_runner(runner);
  if (with_t5) encoders.t5().set_runner(runner);
}

void store_blocks_as_fp8(const memory::MemoryConfig& config, const std::vector<network::TargetLinear>& targets) {
  if (!config.fp8_base) return;
  for (const auto& target : targets) {
    const bool is_mmdit = target.model == network::TargetModel::mmdit;
    if (!is_mmdit && config.fp8_base_unet) continue;
    const char* block = is_mmdit ? "joint_blocks." : "encoder.";
    if (target.path.find(block) != std::string::npos) target.layer->store_as_fp8();
  }
}

}  // namespace loraptor::train
