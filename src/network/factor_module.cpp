#include "network/factor_module.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/hash.h"
#include "nn/linear.h"

namespace loraptor::network {
namespace {

std::vector<FactorSpec> specs_of(const ModulePlan& plan, const AlgoArgs& args) {
  const int64_t out = plan.target.layer->out_features(), in = plan.target.layer->in_features();
  auto specs = factor_specs(args, out, in, plan.rank);
  if (args.dora_wd) {
    specs.push_back({kDoraKey, args.wd_on_output ? std::vector<int64_t>{out, 1} : std::vector<int64_t>{1, in}, 0, 0});
  }
  return specs;
}

at::Tensor initial_values(const FactorSpec& spec, const std::string& module, const tensor::CounterRng& rng) {
  const tensor::DrawKey key{tensor::Purpose::lora_init, 0, xxh3(module + "." + spec.key)};
  if (spec.normal > 0) return rng.normal(key, spec.shape).mul_(spec.normal);
  if (spec.uniform > 0) return rng.uniform(key, spec.shape).mul_(2).sub_(1).mul_(spec.uniform);
  return at::zeros(spec.shape);
}

}  // namespace

FactorModule::FactorModule(ModulePlan plan, const AlgoArgs& args, std::shared_ptr<const NetworkMode> mode,
                           const optim::FlatBuffer& buffer, int64_t offset)
    : plan_(std::move(plan)), mode_(std::move(mode)) {
  const at::NoGradGuard no_grad;
  for (const auto& spec : specs_of(plan_, args)) {
    auto leaf = buffer.leaf(offset, spec.shape);
    offset += leaf.numel();
    if (spec.key == kDoraKey) {
      const auto weight = plan_.target.layer->weight().read().to(at::kFloat);
      leaf.copy_(at::linalg_vector_norm(weight, 2, {args.wd_on_output ? 1 : 0}, /*keepdim=*/true));
      dora_scale_ = leaf;
    } else {
      leaf.copy_(initial_values(spec, plan_.name, mode_->rng));
    }
    leaves_.emplace_back(spec.key, leaf);
  }
}

int64_t FactorModule::size(const ModulePlan& plan, const AlgoArgs& args) {
  int64_t elements = 0;
  for (const auto& spec : specs_of(plan, args)) elements += c10::multiply_integers(spec.shape);
  return elements;
}

std::vector<at::Tensor> FactorModule::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& [key, leaf] : leaves_) all.push_back(leaf);
  return all;
}

Factors FactorModule::factors(at::ScalarType dtype) const {
  Factors all;
  for (const auto& [key, leaf] : leaves_) {
    if (key != kDoraKey) all[key] = leaf.to(dtype);
  }
  return all;
}

double FactorModule::strength() const {
  Factors all;
  for (const auto& [key, leaf] : leaves_) all[key] = leaf;
  const int64_t rank = rank_of(all);
  return rank == 0 ? 1 : plan_.alpha / static_cast<double>(rank);
}

bool FactorModule::is_dropped() const {
  if (!mode_->training || mode_->module_dropout <= 0) return false;
  const tensor::DrawKey key{tensor::Purpose::network_dropout, static_cast<uint64_t>(mode_->micro_step),
                            xxh3(plan_.name + "/module")};
  return mode_->rng.uniform_scalar(key, 0) < mode_->module_dropout;
}

at::Tensor FactorModule::forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const {
  const double multiplier = mode_->multiplier;
  if (multiplier == 0 || is_dropped()) return nn::frozen_linear(x, weight, bias);
  const auto narrow = factors(x.scalar_type());
  if (!dora_scale_.defined()) {
    return nn::frozen_linear(x, weight, bias).add(delta_product(narrow, x), strength() * multiplier);
  }
  const auto corrected = weight.read().to(at::kFloat) + delta_weight(factors(at::kFloat)) * strength();
  const auto factor = decompose_factor(corrected, dora_scale_.to(at::kFloat), multiplier).to(x.scalar_type());
  // (W + delta) with scaled rows has scaled outputs; with scaled columns it has scaled inputs.
  const bool on_rows = factor.size(1) == 1;
  const auto input = on_rows ? x : x * factor.squeeze(0);
  auto y = nn::frozen_linear(input, weight, at::Tensor()).add(delta_product(narrow, input), strength());
  if (on_rows) y = y * factor.squeeze(1);
  return bias.defined() ? y + bias : y;
}

at::Tensor FactorModule::change(double multiplier) const {
  const at::NoGradGuard no_grad;
  return weight_change(factors(at::kFloat), strength(), dora_scale_, plan_.target.layer->weight().read(), multiplier);
}

double FactorModule::norm() const {
  const at::NoGradGuard no_grad;
  return strength() * delta_weight(factors(at::kFloat)).norm().item<double>();
}

void FactorModule::shrink(double factor) {
  const at::NoGradGuard no_grad;
  const size_t count = leaves_.size() - (dora_scale_.defined() ? 1 : 0);
  for (auto& [key, leaf] : leaves_) {
    if (key != kDoraKey) leaf.mul_(std::pow(factor, 1.0 / static_cast<double>(count)));
  }
}

}  // namespace loraptor::network
