// Who decides when a transformer block runs and what is kept of it for the backward pass.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <vector>

namespace loraptor::memory {

/// One block of a model, ready to run.
struct BlockCall {
  int64_t index;  // position in the model
  /// The block's computation; called again in the backward pass by a recomputing runner. It must stay callable until
  /// the backward pass is over, so it captures the model by reference and its other arguments by value.
  std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)> forward;
  std::vector<at::Tensor> inputs;      // tensors that gradients flow through
  std::vector<at::Tensor> parameters;  // trainable tensors that `forward` reads (of its adapters)
};

class BlockRunner {
 public:
  virtual ~BlockRunner() = default;
  /// Runs the block and returns its outputs.
  virtual std::vector<at::Tensor> run(const BlockCall& call) = 0;
};

/// Runs the block as it is.
class PlainRunner : public BlockRunner {
 public:
  std::vector<at::Tensor> run(const BlockCall& call) override { return call.forward(call.inputs); }
};

/// Where a recomputing runner keeps the inputs of the blocks.
enum class KeepInputs { on_device, in_host_memory };

/// Keeps only the block's inputs and computes the block once more in the backward pass. Bit-equal to PlainRunner.
/// On the CPU both places are the same.
class CheckpointRunner : public BlockRunner {
 public:
  explicit CheckpointRunner(KeepInputs place = KeepInputs::on_device) : place_(place) {}
  std::vector<at::Tensor> run(const BlockCall& call) override;

 private:
  KeepInputs place_;
};

}  // namespace loraptor::memory
