#include "train/checkpoint_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "models/encoder_check.h"
#include "models/sd3_variant.h"
#include "network/network_args.h"
#include "train/saved_encoders.h"

namespace loraptor::train {
namespace {

void check_swapped_blocks(const TrainConfig& config, int64_t depth, at::Device device) {
  const int64_t swapped = config.memory.blocks_to_swap.value_or(0), most = std::max<int64_t>(0, depth - 2);
  if (swapped > most) {
    throw UsageError(fmt::format("[--blocks_to_swap] blocks: got {}, expected at most {} for this model of {}.",
                                 swapped, most, depth));
  }
  if (swapped > 0 && device.is_cpu()) {
    log::warn("--blocks_to_swap {} has no use: all weights lie in host memory already.", swapped);
  }
}

/// The reference takes such indices in silence.
void check_trained_blocks(const TrainConfig& config, int64_t depth) {
  const auto args = network::parse_network_args(config.network.network_args);
  if (!args.train_block_indices) return;
  std::vector<int64_t> beyond = *args.train_block_indices;
  std::erase_if(beyond, [&](int64_t block) { return block < depth; });
  if (beyond.empty()) return;
  log::warn("[--network_args] train_block_indices: got {}, expected 0 to {}; the model has no such blocks.",
            fmt::join(beyond, ", "), depth - 1);
}

}  // namespace

void check_checkpoint(const TrainConfig& config, const models::ModelFiles& files, at::Device device) {
  check_saved_encoders(config, files);
  models::check_encoders_fit(files);
  const int64_t depth = models::detect_variant(files.part(models::Part::mmdit, {})).depth;
  check_swapped_blocks(config, depth, device);
  check_trained_blocks(config, depth);
}

}  // namespace loraptor::train
