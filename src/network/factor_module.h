// One LoHa, LoKr or DoRA module: trained factors that correct one layer.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "network/factors.h"
#include "network/lora_module.h"
#include "nn/linear_adapter.h"
#include "optim/param_group.h"

namespace loraptor::network {

/// y = x (W + strength * delta)^T + b, with DoRA: the rows (or columns) of the corrected weight scaled to trained
/// lengths. Ref: lycoris_lora 4.1.3 modules/{locon,loha,lokr}.py.
class FactorModule : public nn::LinearAdapter {
 public:
  /// Cuts its leaves from `buffer` from `offset` on and gives them their initial values: the layer is unchanged.
  FactorModule(ModulePlan plan, const AlgoArgs& args, std::shared_ptr<const NetworkMode> mode,
               const optim::FlatBuffer& buffer, int64_t offset);

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override;
  std::vector<at::Tensor> parameters() const override;

  const ModulePlan& plan() const { return plan_; }
  /// The leaves by key ("hada_w1_a", "dora_scale" …), in buffer order.
  const std::vector<std::pair<std::string, at::Tensor>>& leaves() const { return leaves_; }
  /// Elements of all leaves.
  static int64_t size(const ModulePlan& plan, const AlgoArgs& args);

  /// What files say; the strength follows it.
  double alpha() const { return plan_.alpha; }
  void set_alpha(double alpha) { plan_.alpha = alpha; }

  /// What merging adds to the layer's weight, float32 [out,in].
  at::Tensor change(double multiplier) const;
  /// Frobenius norm of strength * delta.
  double norm() const;
  /// Multiplies delta by `factor`, each of its factors by the same share.
  void shrink(double factor);

 private:
  Factors factors(at::ScalarType dtype) const;
  double strength() const;
  bool is_dropped() const;

  ModulePlan plan_;
  std::shared_ptr<const NetworkMode> mode_;
  std::vector<std::pair<std::string, at::Tensor>> leaves_;
  at::Tensor dora_scale_;  // leaf [out,1] or [1,in], or undefined
};

inline constexpr const char* kDoraKey = "dora_scale";

}  // namespace loraptor::network
