// One LoRA module: a low-rank correction of one layer, with the dropouts of the reference.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

#include "network/target_rules.h"
#include "nn/linear_adapter.h"
#include "optim/param_group.h"
#include "tensor/rng.h"

namespace loraptor::network {

/// What all modules of a network share.
struct NetworkMode {
  explicit NetworkMode(uint64_t seed) : rng(seed) {}
  tensor::CounterRng rng;
  double neuron_dropout = 0;  // per activation, kept values / (1-p)
  double rank_dropout = 0;    // per sample and rank, shared by all tokens, kept values / (1-p)
  double module_dropout = 0;  // the whole correction of a call
  bool training = true;
  double multiplier = 1;
  int64_t micro_step = 0;
};

/// y = layer(x) + up(down(x)) * multiplier * alpha / rank.
/// Ref: arXiv:2106.09685; sd-scripts@48d368f networks/lora_flux.py:LoRAModule.forward.
class LoraModule : public nn::LinearAdapter {
 public:
  /// Cuts its leaves from `buffer` and gives `down` its initial values; `up` stays zero.
  ///   down_offset, up_offset   where its values begin, in elements
  LoraModule(ModulePlan plan, std::shared_ptr<const NetworkMode> mode, const optim::FlatBuffer& buffer,
             int64_t down_offset, int64_t up_offset);

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override;
  std::vector<at::Tensor> parameters() const override { return {down_, up_}; }

  const ModulePlan& plan() const { return plan_; }
  double scale() const { return plan_.alpha / static_cast<double>(plan_.rank); }

  /// Elements of down and of up.
  static std::pair<int64_t, int64_t> sizes(const ModulePlan& plan);

  /// The tensors to train as views with the shapes and names of files: one pair, or three for split q/k/v.
  std::vector<optim::Parameter> down_parameters() const { return split_parameters(down_, "lora_down"); }
  std::vector<optim::Parameter> up_parameters() const { return split_parameters(up_, "lora_up"); }

  /// The pair as saved (split pairs merged), float32; `alpha` is that of the merged pair.
  LoraPair merged() const;
  /// Copies a saved pair; the strength follows its alpha. Shapes must fit.
  ///   alpha   of the pair in the file, merged
  void assign(const LoraPair& pair, double alpha);

  /// Frobenius norm of scale * up * down, without forming the product.
  double norm() const;
  /// Multiplies up and down by `factor`.
  void shrink(double factor);

 private:
  std::vector<optim::Parameter> split_parameters(const at::Tensor& leaf, std::string_view half) const;
  bool is_dropped() const;
  at::Tensor draw_mask(const at::Tensor& x) const;
  at::Tensor keep_mask(std::string_view what, double probability, at::IntArrayRef shape) const;

  ModulePlan plan_;
  std::shared_ptr<const NetworkMode> mode_;
  at::Tensor down_;  // leaf [splits*rank,in]
  at::Tensor up_;    // leaf [out,rank]
};

}  // namespace loraptor::network
