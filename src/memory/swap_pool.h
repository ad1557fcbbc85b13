// Tensors of a model's blocks that lie in host memory and visit the device (`--blocks_to_swap`).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "memory/block_runner.h"

namespace loraptor::memory {

/// A few places on the device through which the blocks pass, one after the other. They are only copied there: frozen
/// weights never come back changed. On a GPU the copies run beside the computation.
class SwapPool {
 public:
  /// device   where the blocks are used
  explicit SwapPool(at::Device device);
  ~SwapPool();

  /// Adds a tensor to a block and returns its number there. On a GPU it is kept in pinned memory.
  size_t add(int64_t block, const at::Tensor& tensor);

  /// A tensor of a block on the device: brought now if it is not there. Whoever is used longest ago makes room.
  at::Tensor get(int64_t block, size_t number);

  /// Says that a block is about to be computed: it is brought, and then the next one in the direction in which the
  /// blocks are used. Blocks without tensors only tell the direction.
  void begin(int64_t block);

  int64_t copies() const { return copies_; }                                // blocks brought so far
  int64_t present() const { return static_cast<int64_t>(places_.size()); }  // blocks on the device now

 private:
  struct Place;
  struct SideStream;
  bool has(int64_t block) const { return blocks_.count(block) != 0; }
  Place& bring(int64_t block);
  void make_room(int64_t newcomer);

  at::Device device_;
  std::map<int64_t, std::vector<at::Tensor>> blocks_;  // in host memory
  std::map<int64_t, std::unique_ptr<Place>> places_;   // on the device, by block
  std::unique_ptr<SideStream> side_;                   // that copies; null on the CPU
  int64_t current_ = -1;
  int64_t clock_ = 0, copies_ = 0;
};

/// Tells a pool before each computation of a block, forward or again in the backward pass, and lets another runner run
/// it.
class SwapRunner : public BlockRunner {
 public:
  SwapRunner(std::unique_ptr<BlockRunner> inner, std::shared_ptr<SwapPool> pool)
      : inner_(std::move(inner)), pool_(std::move(pool)) {}
  std::vector<at::Tensor> run(const BlockCall& call) override;

 private:
  std::unique_ptr<BlockRunner> inner_;
  std::shared_ptr<SwapPool> pool_;
};

}  // namespace loraptor::memory
