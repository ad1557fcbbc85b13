#include "network/lora_module.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "network/key_names.h"
#include "network/lora_linear.h"
#include "nn/linear.h"

namespace loraptor::network {
namespace {

/// Uniform in +-1/sqrt(in): Kaiming's bound for a = sqrt(5).
at::Tensor initial_down(const ModulePlan& plan, const tensor::CounterRng& rng, at::IntArrayRef shape) {
  const auto draws = rng.uniform({tensor::Purpose::lora_init, 0, xxh3(plan.name)}, shape);
  return draws.mul_(2).sub_(1).mul_(1 / std::sqrt(static_cast<double>(shape[1])));
}

}  // namespace

LoraModule::LoraModule(ModulePlan plan, std::shared_ptr<const NetworkMode> mode, const optim::FlatBuffer& buffer,
                       int64_t down_offset, int64_t up_offset)
    : plan_(std::move(plan)), mode_(std::move(mode)) {
  const int64_t in = plan_.target.layer->in_features(), out = plan_.target.layer->out_features();
  LORAPTOR_ASSERT(plan_.rank > 0 && out % plan_.splits == 0);
  down_ = buffer.leaf(down_offset, {plan_.splits * plan_.rank, in});
  up_ = buffer.leaf(up_offset, {out, plan_.rank});
  const at::NoGradGuard no_grad;
  down_.copy_(initial_down(plan_, mode_->rng, down_.sizes()));
}

std::pair<int64_t, int64_t> LoraModule::sizes(const ModulePlan& plan) {
  return {plan.splits * plan.rank * plan.target.layer->in_features(), plan.target.layer->out_features() * plan.rank};
}

at::Tensor LoraModule::forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const {
  if (mode_->multiplier == 0 || is_dropped()) return nn::frozen_linear(x, weight, bias);
  return low_rank_linear(x, weight, bias, {down_, up_, draw_mask(x), mode_->multiplier * scale(), plan_.splits});
}

bool LoraModule::is_dropped() const {
  if (!mode_->training || mode_->module_dropout <= 0) return false;
  const tensor::DrawKey key{tensor::Purpose::network_dropout, static_cast<uint64_t>(mode_->micro_step),
                            xxh3(plan_.name + "/module")};
  return mode_->rng.uniform_scalar(key, 0) < mode_->module_dropout;
}

at::Tensor LoraModule::keep_mask(std::string_view what, double probability, at::IntArrayRef shape) const {
  const tensor::DrawKey key{tensor::Purpose::network_dropout, static_cast<uint64_t>(mode_->micro_step),
                            xxh3(fmt::format("{}/{}", plan_.name, what))};
  return mode_->rng.uniform(key, shape).ge(probability).to(at::kFloat).mul_(1 / (1 - probability));
}

at::Tensor LoraModule::draw_mask(const at::Tensor& x) const {
  at::Tensor mask;
  if (!mode_->training) return mask;
  if (mode_->neuron_dropout > 0) {
    auto shape = x.sizes().vec();
    shape.back() = down_.size(0);  // [..,in] -> [..,splits*r]
    mask = keep_mask("neuron", mode_->neuron_dropout, shape);
  }
  if (mode_->rank_dropout > 0) {
    std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
    shape.front() = x.size(0);
    shape.back() = down_.size(0);  // [B,1,..,splits*r]
    const auto ranks = keep_mask("rank", mode_->rank_dropout, shape);
    mask = mask.defined() ? mask.mul_(ranks) : ranks;
  }
  return mask.defined() ? mask.to(x.device(), x.scalar_type()) : mask;
}

std::vector<optim::Parameter> LoraModule::split_parameters(const at::Tensor& leaf, std::string_view half) const {
  const auto [down_shape, up_shape] = saved_shapes(plan_);
  std::vector<int64_t> shape = half == "lora_down" ? down_shape : up_shape;
  if (plan_.splits > 1) shape = {leaf.size(0) / plan_.splits, leaf.size(1)};
  const int64_t rows = shape[0];
  std::vector<optim::Parameter> parts;
  for (int64_t i = 0; i < plan_.splits; ++i) {
    const std::string part = plan_.splits > 1 ? fmt::format(".{}", i) : "";
    auto value = leaf.detach().narrow(0, i * rows, rows).view(shape);
    value.requires_grad_();
    value.mutable_grad() = leaf.grad().narrow(0, i * rows, rows).view(shape);
    parts.push_back({fmt::format("{}.{}{}.weight", plan_.name, half, part), std::move(value)});
  }
  return parts;
}

LoraPair LoraModule::merged() const {
  const auto [down_shape, up_shape] = saved_shapes(plan_);
  const auto down = down_.detach().to(at::kFloat), up = up_.detach().to(at::kFloat);
  LoraPair pair;
  pair.alpha = plan_.alpha * static_cast<double>(plan_.splits);
  pair.down = down.view(down_shape);
  if (plan_.splits == 1) {
    pair.up = up.view(up_shape);
    return pair;
  }
  pair.up = at::zeros(up_shape, up.options());  // [out,r] -> block-diagonal [out,splits*r]
  const int64_t rows = up.size(0) / plan_.splits, rank = plan_.rank;
  for (int64_t i = 0; i < plan_.splits; ++i) {
    pair.up.narrow(0, i * rows, rows).narrow(1, i * rank, rank).copy_(up.narrow(0, i * rows, rows));
  }
  return pair;
}

void LoraModule::assign(const LoraPair& pair, double alpha) {
  const at::NoGradGuard no_grad;
  down_.copy_(pair.down.reshape(down_.sizes()));
  plan_.alpha = alpha / static_cast<double>(plan_.splits);
  if (plan_.splits == 1) {
    up_.copy_(pair.up.reshape(up_.sizes()));
    return;
  }
  const auto up = pair.up.flatten(1);
  const int64_t rows = up.size(0) / plan_.splits, rank = plan_.rank;
  for (int64_t i = 0; i < plan_.splits; ++i) {
    up_.narrow(0, i * rows, rows).copy_(up.narrow(0, i * rows, rows).narrow(1, i * rank, rank));
  }
}

double LoraModule::norm() const {
  double sum = 0;
  const int64_t rows = up_.size(0) / plan_.splits, rank = plan_.rank;
  for (int64_t i = 0; i < plan_.splits; ++i) {
    const auto a = down_.detach().narrow(0, i * rank, rank).to(at::kDouble);
    const auto b = up_.detach().narrow(0, i * rows, rows).to(at::kDouble);
    sum += b.t().mm(b).mul(a.mm(a.t())).sum().item<double>();  // |BA|^2 = <B^T B, A A^T>
  }
  return scale() * std::sqrt(std::max(sum, 0.0));
}

void LoraModule::shrink(double factor) {
  const at::NoGradGuard no_grad;
  down_.mul_(factor);
  up_.mul_(factor);
}

}  // namespace loraptor::network
