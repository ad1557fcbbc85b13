#include "network/applied_lora.h"

#include <fmt/format.h>

#include "base/error.h"
#include "network/key_names.h"
#include "network/lora_linear.h"

namespace loraptor::network {
namespace {

/// Plain pairs only: one product for all files.
class AppliedPair : public nn::LinearAdapter {
 public:
  AppliedPair(const LoraPair& pair, at::Device device)
      : down_(pair.down.flatten(1).to(device, at::kFloat)),
        up_(pair.up.flatten(1).to(device, at::kFloat)),
        scale_(pair.scale()) {}

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override {
    return low_rank_linear(x, weight, bias, {.down = down_, .up = up_, .mask = {}, .scale = scale_});
  }
  std::vector<at::Tensor> parameters() const override { return {}; }

 private:
  at::Tensor down_, up_;
  double scale_;
};

/// What one file adds to a layer.
struct Step {
  Factors factors;           // in the compute dtype of the layer
  double scale;              // of their product
  at::Tensor rows, columns;  // DoRA's factor on the outputs [out] or on the inputs [in], or undefined
};

/// The corrections of several files, each on top of those before it.
class AppliedSteps : public nn::LinearAdapter {
 public:
  explicit AppliedSteps(std::vector<Step> steps) : steps_(std::move(steps)) {}

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override {
    const auto y = corrected(x, weight, steps_.size());
    return bias.defined() ? y + bias : y;
  }
  std::vector<at::Tensor> parameters() const override { return {}; }

 private:
  /// x W'^T, with W' the weight after the first `count` steps. (W + delta) with scaled rows has scaled outputs; with
  /// scaled columns it has scaled inputs.
  at::Tensor corrected(const at::Tensor& x, const nn::WeightStorage& weight, size_t count) const {
    if (count == 0) return nn::frozen_linear(x, weight, at::Tensor());
    const Step& step = steps_[count - 1];
    const auto input = step.columns.defined() ? x * step.columns : x;
    const auto y = corrected(input, weight, count - 1).add(delta_product(step.factors, input), step.scale);
    return step.rows.defined() ? y * step.rows : y;
  }

  std::vector<Step> steps_;
};

FactorSet as_factors(const LoraPair& pair) {
  FactorSet set;
  set.factors = {{"lora_down.weight", pair.down.flatten(1)}, {"lora_up.weight", pair.up.flatten(1)}};
  set.alpha = pair.alpha;
  return set;
}

/// A file's module, whatever its kind; nothing if it has none of this name.
std::optional<FactorSet> module_of(const WeightedLora& lora, const std::string& name) {
  if (const auto found = lora.factors.find(name); found != lora.factors.end()) return found->second;
  const auto pair = lora.file.modules.find(name);
  return pair == lora.file.modules.end() ? std::nullopt : std::optional<FactorSet>(as_factors(pair->second));
}

void expect_shape(const nn::Linear& layer, const FactorSet& set, const std::string& name, const WeightedLora& lora) {
  const auto [out, in] = layer_shape(set.factors);
  if (out == layer.out_features() && in == layer.in_features()) return;
  throw FileError(lora.file.path,
                  fmt::format("{}: got a module for a layer {} -> {}, expected {} -> {}.\nHint: the LoRA "
                              "may be made for another model.",
                              name, in, out, layer.in_features(), layer.out_features()));
}

/// `weight` is the layer's after the steps before this one, and gets this step's change.
Step make_step(const FactorSet& set, double ratio, const nn::Linear& layer, at::Tensor& weight) {
  Step step;
  for (const auto& [key, value] : set.factors) step.factors[key] = value.to(layer.device(), layer.compute_dtype());
  step.scale = set.strength() * (set.is_dora() ? 1 : ratio);
  if (!set.is_dora() && !weight.defined()) return step;
  Factors wide;
  for (const auto& [key, value] : set.factors) wide[key] = value.to(layer.device(), at::kFloat);
  weight += delta_weight(wide) * step.scale;
  if (!set.is_dora()) return step;
  const auto factor = decompose_factor(weight, set.dora_scale.to(layer.device(), at::kFloat), ratio);
  weight *= factor;
  (factor.size(1) == 1 ? step.rows : step.columns) = factor.flatten().to(layer.compute_dtype());
  return step;
}

std::shared_ptr<nn::LinearAdapter> make_steps(const std::vector<WeightedLora>& loras, const std::string& name,
                                              const nn::Linear& layer) {
  bool any_dora = false;
  for (const auto& lora : loras) {
    const auto found = lora.factors.find(name);
    any_dora |= found != lora.factors.end() && found->second.is_dora();
  }
  at::Tensor weight;  // only DoRA looks at it
  if (any_dora) weight = layer.weight().read().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  std::vector<Step> steps;
  for (const auto& lora : loras) {
    if (const auto set = module_of(lora, name)) steps.push_back(make_step(*set, lora.ratio, layer, weight));
  }
  return std::make_shared<AppliedSteps>(std::move(steps));
}

}  // namespace

std::set<std::string> attach_loras(const std::vector<WeightedLora>& loras, const std::vector<TargetLinear>& targets) {
  const at::NoGradGuard no_grad;
  std::set<std::string> attached;
  for (const auto& target : targets) {
    const std::string name = module_name(target.model, target.path);
    nn::Linear& layer = *target.layer;
    bool any = false, all_plain = true;
    for (const auto& lora : loras) {
      const auto set = module_of(lora, name);
      if (!set) continue;
      expect_shape(layer, *set, name, lora);
      any = true;
      all_plain &= lora.factors.count(name) == 0;
    }
    if (!any) continue;
    if (all_plain) {
      layer.attach(std::make_shared<AppliedPair>(concat_module(loras, name), layer.weight().device()));
    } else {
      layer.attach(make_steps(loras, name, layer));
    }
    attached.insert(name);
  }
  return attached;
}

}  // namespace loraptor::network
