// Prodigy.
#include "optim/prodigy.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "optim/long_sums.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

struct FullProdigySettings : ProdigySettings {
  double growth_rate;
  bool decouple, bias_correction, safeguard_warmup;
  int64_t slice;
};

class Prodigy : public StatefulOptimizer {
 public:
  Prodigy(std::vector<ParamGroup>& groups, std::string description, const FullProdigySettings& settings)
      : StatefulOptimizer(groups, std::move(description)), s_(settings) {
    add_scalar("k", 0);
    add_scalar("d", s_.d0);
    add_scalar("d_max", s_.d0);
    add_scalar("d_hat", s_.d0);
    add_scalar("d_numerator", 0);
    add_scalar("has_p0", 0);
    if (s_.beta1 > 0) add_buffer("exp_avg");
    add_buffer("exp_avg_sq");
    for (const auto& group : groups_) add_slices(group);
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    const double lr = common_rate(lrs, "Prodigy"), k = scalar("k");
    if (scalar("has_p0") == 0) store_start();
    const double d = scalar("d");
    const double correction =
        s_.bias_correction ? std::sqrt(1 - std::pow(s_.beta2, k + 1)) / (1 - std::pow(s_.beta1, k + 1)) : 1;
    const double dlr = d * lr * correction;
    double numerator = scalar("d_numerator") * s_.beta3, denominator = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (lrs[g] > 0) gather(g, dlr, numerator, denominator);
    }
    if (denominator == 0) return;
    estimate(lr, numerator, denominator);
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (lrs[g] > 0) move(g, dlr);
    }
    ++scalar("k");
  }

  std::map<std::string, std::vector<double>> statistics() const override {
    std::map<std::string, std::vector<double>> all;
    for (const char* key : {"d", "d_max", "d_hat", "k"}) all[key] = std::vector<double>(groups_.size(), scalar(key));
    return all;
  }

 private:
  /// A group's part of the statistics: every slice-th element of each parameter.
  struct Slices {
    at::Tensor index;  // undefined: all elements
    at::Tensor p0, s;  // float32 [n]
  };

  void add_slices(const ParamGroup& group) {
    const int64_t slice = s_.slice;
    std::vector<at::Tensor> indices;
    int64_t count = 0;
    for (const auto& parameter : group.parameters) {
      const int64_t offset = parameter.value.storage_offset() - group.flat.storage_offset();
      indices.push_back(at::arange(offset, offset + parameter.value.numel(), slice, at::kLong));
      count += indices.back().numel();
    }
    const auto options = group.flat.options().dtype(at::kFloat);
    Slices slices{{}, at::zeros({count}, options), at::zeros({count}, options)};
    if (slice > 1) slices.index = at::cat(indices).to(group.flat.device());
    int64_t at = 0;
    for (size_t i = 0; i < indices.size(); ++i) {
      const int64_t length = indices[i].numel();
      add_tensor(group.parameters[i].name, "p0", slices.p0.narrow(0, at, length));
      add_tensor(group.parameters[i].name, "s", slices.s.narrow(0, at, length));
      at += length;
    }
    slices_.push_back(std::move(slices));
  }

  static at::Tensor sliced(const at::Tensor& flat, const Slices& slices) {
    return slices.index.defined() ? flat.index_select(0, slices.index) : flat;
  }

  void store_start() {
    for (size_t g = 0; g < groups_.size(); ++g) slices_[g].p0.copy_(sliced(groups_[g].flat, slices_[g]));
    scalar("has_p0") = 1;
  }

  /// The gradient, with the decay where that is coupled.
  at::Tensor decayed_gradient(const ParamGroup& group) const {
    const bool coupled = s_.weight_decay != 0 && !s_.decouple;
    return coupled ? group.flat_grad.add(group.flat, s_.weight_decay) : group.flat_grad;
  }

  void gather(size_t g, double dlr, double& numerator, double& denominator) {
    const auto& group = groups_[g];
    auto& slices = slices_[g];
    const double d = scalar("d");
    const auto grad = decayed_gradient(group);
    const auto sliced_grad = sliced(grad, slices);
    numerator += d / s_.d0 * dlr * long_dot(sliced_grad, slices.p0 - sliced(group.flat, slices));
    if (s_.beta1 > 0) buffer(g, "exp_avg").mul_(s_.beta1).add_(grad, d * (1 - s_.beta1));
    buffer(g, "exp_avg_sq").mul_(s_.beta2).addcmul_(grad, grad, d * d * (1 - s_.beta2));
    slices.s.mul_(s_.beta3).add_(sliced_grad, d / s_.d0 * (s_.safeguard_warmup ? d : dlr));
    denominator += slices.s.abs().sum().item<double>();
  }

  void estimate(double lr, double numerator, double denominator) {
    double& d = scalar("d");
    if (lr > 0) {
      const double d_hat = s_.d_coef * numerator / denominator;
      if (d == s_.d0) d = std::max(d, d_hat);
      scalar("d_max") = std::max(scalar("d_max"), d_hat);
      d = std::min(scalar("d_max"), d * s_.growth_rate);
      scalar("d_hat") = d_hat;
    }
    scalar("d_numerator") = numerator;
  }

  /// Uses the step size dlr of the old estimate, and the new estimate beside it.
  void move(size_t g, double dlr) {
    const auto& group = groups_[g];
    at::Tensor p = group.flat;
    const double d = scalar("d");
    const auto root = buffer(g, "exp_avg_sq").sqrt().add_(d * s_.eps);
    const auto grad = s_.beta1 == 0 ? decayed_gradient(group) : at::Tensor();  // as in `gather`
    if (s_.weight_decay != 0 && s_.decouple) p.sub_(p * (s_.weight_decay * dlr));
    if (s_.beta1 > 0) p.addcdiv_(buffer(g, "exp_avg"), root, -dlr);
    else p.addcdiv_(grad, root, -dlr * d);
  }

  FullProdigySettings s_;
  std::vector<Slices> slices_;
};

}  // namespace

double common_rate(const std::vector<double>& lrs, const std::string& class_name) {
  double common = 0;
  for (double lr : lrs) common = std::max(common, lr);
  for (double lr : lrs) {
    if (lr == 0 || lr == common) continue;
    throw UsageError(fmt::format(
        "[--optimizer_type] {} estimates one step size for all groups: got learning rates {} and {}, expected equal "
        "ones.\n"
        "Hint: leave --unet_lr and --text_encoder_lr away and use --learning_rate 1; LoRA+ ratios do not work either.",
        class_name, common, lr));
  }
  return common;
}

ProdigySettings read_prodigy_settings(KeywordArgs& args, double beta2) {
  const auto betas = args.numbers("betas", {0.9, beta2});
  ProdigySettings s{};
  s.beta1 = betas[0];
  s.beta2 = betas[1];
  s.beta3 = args.optional_number("beta3").value_or(std::sqrt(betas[1]));
  s.eps = args.number("eps", 1e-8);
  s.weight_decay = args.number("weight_decay", 0);
  s.d0 = args.number("d0", 1e-6);
  s.d_coef = args.number("d_coef", 1.0);
  if (!(s.d0 > 0)) {
    throw UsageError(fmt::format("[--optimizer_args] out of range: got d0={}, expected d0 > 0.", s.d0));
  }
  return s;
}

std::unique_ptr<Optimizer> make_prodigy(OptimizerRequest& request) {
  auto& args = request.args;
  FullProdigySettings s{};
  static_cast<ProdigySettings&>(s) = read_prodigy_settings(args, /*beta2=*/0.999);
  s.decouple = args.flag("decouple", true);
  s.bias_correction = args.flag("use_bias_correction", false);
  s.safeguard_warmup = args.flag("safeguard_warmup", false);
  s.growth_rate = args.number("growth_rate", std::numeric_limits<double>::infinity());
  s.slice = args.integer("slice_p", 1);
  args.without_effect("fsdp_in_use", "one flat buffer holds all parameters");
  if (s.slice < 1) {
    throw UsageError(fmt::format("[--optimizer_args] out of range: got slice_p={}, expected slice_p >= 1.", s.slice));
  }
  return std::make_unique<Prodigy>(request.groups, request.described(), s);
}

}  // namespace loraptor::optim
