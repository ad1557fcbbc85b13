// Optimizers with 8-bit states.
#include "optim/optimizer_8bit.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "kernels/adam8bit_step.h"
#include "optim/block_quantize.h"
#include "optim/stateful_optimizer.h"

namespace loraptor::optim {
namespace {

constexpr int64_t kChunkBlocks = 4096;  // 8-bit states are widened this many blocks at a time, to save memory

/// A stretch of elements with its states in float32. `p` and `states` are changed in place.
struct Stretch {
  at::Tensor p, g;
  std::vector<at::Tensor> states;
  double lr, t;
  double momentum;  // or first beta
};

using Update = std::function<void(Stretch&)>;
using Numbers = std::function<kernels::cpu::AdamNumbers(double lr, double t, double beta1)>;

/// What distinguishes the members of the family.
struct Rule {
  std::vector<bool> state_is_signed;  // one entry a state
  int64_t min_8bit_size;              // INT64_MAX: all states float32
  double momentum;                    // or first beta, until it is replaced
  Update update;
  Numbers adam_numbers{};  // of a rule that has a kernel for the CPU
};

class BlockwiseOptimizer : public StatefulOptimizer {
 public:
  BlockwiseOptimizer(std::vector<ParamGroup>& groups, std::string description, Rule rule)
      : StatefulOptimizer(groups, std::move(description)), rule_(std::move(rule)) {
    add_scalar("step", 0);
    for (bool is_signed : rule_.state_is_signed) {
      tables_.emplace_back(is_signed, groups.empty() ? at::Device(at::kCPU) : groups[0].flat.device());
    }
    for (const auto& group : groups) {
      for (const auto& parameter : group.parameters) add_states(parameter);
    }
  }

  void step(const std::vector<double>& lrs) override {
    at::NoGradGuard no_grad;
    const double t = ++scalar("step");
    for (size_t g = 0; g < groups_.size(); ++g) {
      const auto& group = groups_[g];
      std::vector<kernels::Adam8bitParameter> for_kernel;
      for (const auto& parameter : group.parameters) {
        const auto p = part(group.flat, group, parameter).view({-1});
        const auto grad = part(group.flat_grad, group, parameter).view({-1});
        if (is_8bit(parameter) && rule_.adam_numbers && p.is_cpu())
          for_kernel.push_back(with_states(parameter.name, p, grad));
        else if (is_8bit(parameter)) step_8bit(parameter.name, p, grad, lrs[g], t);
        else step_32bit(parameter.name, p, grad, lrs[g], t);
      }
      if (!for_kernel.empty()) step_in_kernel(for_kernel, lrs[g], t);
    }
  }

  bool set_momentum(double momentum) override {
    rule_.momentum = momentum;
    return true;
  }

 private:
  static std::string state_name(size_t i) { return fmt::format("state{}", i + 1); }
  static std::string absmax_name(size_t i) { return fmt::format("absmax{}", i + 1); }

  bool is_8bit(const Parameter& parameter) const { return parameter.value.numel() >= rule_.min_8bit_size; }

  void add_states(const Parameter& parameter) {
    const auto shape = parameter.value.sizes();
    const auto options = at::TensorOptions(parameter.value.device());
    const int64_t blocks = (parameter.value.numel() + kQuantBlock - 1) / kQuantBlock;
    for (size_t i = 0; i < rule_.state_is_signed.size(); ++i) {
      if (!is_8bit(parameter)) {
        add_tensor(parameter.name, state_name(i), at::zeros(shape, options.dtype(at::kFloat)));
        continue;
      }
      add_tensor(parameter.name, state_name(i), at::zeros(shape, options.dtype(at::kByte)));
      add_tensor(parameter.name, absmax_name(i), at::zeros({blocks}, options.dtype(at::kFloat)));
    }
  }

  /// Elements whose gradient is not finite lose their states and keep their value.
  void update(Stretch& s) const {
    const auto finite = at::isfinite(s.g);
    if (finite.all().item<bool>()) {
      rule_.update(s);
      return;
    }
    const auto before = s.p.clone();
    s.g = at::where(finite, s.g, at::zeros_like(s.g));
    rule_.update(s);
    s.p.copy_(at::where(finite, s.p, before));
    for (auto& state : s.states) state.mul_(finite);
  }

  void step_32bit(const std::string& name, const at::Tensor& p, const at::Tensor& g, double lr, double t) {
    Stretch s{p, g, {}, lr, t, rule_.momentum};
    for (size_t i = 0; i < tables_.size(); ++i) s.states.push_back(tensor(name, state_name(i)).view({-1}));
    update(s);
  }

  void step_8bit(const std::string& name, const at::Tensor& p, const at::Tensor& g, double lr, double t) {
    const int64_t whole = p.numel() / kQuantBlock;
    for (int64_t begin = 0; begin < whole; begin += kChunkBlocks) {
      step_blocks(name, p, g, {begin, std::min(whole, begin + kChunkBlocks), kQuantBlock}, lr, t);
    }
    // A last, shorter block is a row of its own.
    const int64_t rest = p.numel() % kQuantBlock;
    if (rest != 0) step_blocks(name, p, g, {whole, whole + 1, rest}, lr, t);
  }

  kernels::Adam8bitParameter with_states(const std::string& name, const at::Tensor& p, const at::Tensor& g) {
    return {p,
            g,
            tensor(name, state_name(0)),
            tensor(name, absmax_name(0)),
            tensor(name, state_name(1)),
            tensor(name, absmax_name(1))};
  }

  void step_in_kernel(const std::vector<kernels::Adam8bitParameter>& parameters, double lr, double t) {
    if (codes_.empty()) {
      for (const auto& table : tables_) codes_.push_back(kernels::nearest_code(table.values, table.borders));
    }
    kernels::adam8bit_step(parameters, rule_.adam_numbers(lr, t, rule_.momentum), codes_[0], codes_[1]);
  }

  struct Blocks {
    int64_t begin, end, width;  // `width` elements each; all but a tensor's last block have 256
  };

  void step_blocks(const std::string& name, const at::Tensor& p, const at::Tensor& g, const Blocks& blocks, double lr,
                   double t) {
    const int64_t rows = blocks.end - blocks.begin, first = blocks.begin * kQuantBlock;
    const auto rows_of = [&](const at::Tensor& flat) {  // [n] -> [rows,width]
      return flat.narrow(0, first, rows * blocks.width).view({rows, blocks.width});
    };
    Stretch s{rows_of(p), rows_of(g), {}, lr, t, rule_.momentum};
    for (size_t i = 0; i < tables_.size(); ++i) {
      const auto absmax = tensor(name, absmax_name(i)).slice(0, blocks.begin, blocks.end);
      s.states.push_back(dequantize(rows_of(tensor(name, state_name(i)).view({-1})), absmax, tables_[i]));
    }
    update(s);
    for (size_t i = 0; i < tables_.size(); ++i) {
      quantize(s.states[i], tables_[i], rows_of(tensor(name, state_name(i)).view({-1})),
               tensor(name, absmax_name(i)).slice(0, blocks.begin, blocks.end));
    }
  }

  Rule rule_;
  std::vector<CodeTable> tables_;
  std::vector<kernels::cpu::NearestCode> codes_;  // the same for the kernel, made when it is first used
};

/// Arguments of the library that change nothing here, or that it no longer has.
int64_t read_min_size(KeywordArgs& args) {
  if (args.has("percentile_clipping") && args.number("percentile_clipping", 100) != 100) {
    throw UsageError(fmt::format(
        "[--optimizer_args percentile_clipping] was removed from bitsandbytes: got {}, expected 100 or nothing.\n"
        "Hint: --max_grad_norm clips gradients.",
        args.number("percentile_clipping", 100)));
  }
  args.number("percentile_clipping", 100);
  if (!args.flag("block_wise", true)) {
    throw UsageError(
        "[--optimizer_args block_wise] got False, expected True or nothing: blocks have scales of their own.");
  }
  args.without_effect("is_paged", "states lie where the parameters lie");
  return args.integer("min_8bit_size", 4096);
}

struct AdamwSettings {
  double beta1, beta2, eps, decay;

  explicit AdamwSettings(KeywordArgs& args) {
    const auto betas = args.numbers("betas", {0.9, 0.999});
    beta1 = betas[0];
    beta2 = betas[1];
    eps = args.number("eps", 1e-8);
    decay = args.number("weight_decay", 1e-2);
  }

  /// The bias corrections 1 - beta1^t and sqrt(1 - beta2^t).
  std::pair<double, double> corrections(double t, double first) const {
    return {1 - std::pow(first, t), std::sqrt(1 - std::pow(beta2, t))};
  }

  kernels::cpu::AdamNumbers numbers(double lr, double t, double first) const {
    const auto [b1, b2] = corrections(t, first);
    const auto narrow = [](double x) { return static_cast<float>(x); };
    return {.beta1 = narrow(first),
            .beta2 = narrow(beta2),
            .gain1 = narrow(1 - first),
            .gain2 = narrow(1 - beta2),
            .decay = narrow(1 - lr * decay),
            .step = narrow(-lr * b2 / b1),
            .epsilon = narrow(eps * b2)};
  }

  void update(Stretch& s) const {
    auto& m = s.states[0];
    auto& v = s.states[1];
    m.mul_(s.momentum).add_(s.g, 1 - s.momentum);
    v.mul_(beta2).addcmul_(s.g, s.g, 1 - beta2);
    const auto [b1, b2] = corrections(s.t, s.momentum);
    if (decay != 0) s.p.mul_(1 - s.lr * decay);
    s.p.addcdiv_(m, v.sqrt().add_(eps * b2), -s.lr * b2 / b1);
  }
};

std::unique_ptr<Optimizer> make_adamw_blockwise(OptimizerRequest& request, int64_t min_size) {
  if (request.args.flag("amsgrad", false)) {
    throw UsageError("[--optimizer_args amsgrad] got True, expected False or nothing: the 8-bit optimizers have none.");
  }
  const AdamwSettings settings(request.args);
  Rule rule{.state_is_signed = {true, false},
            .min_8bit_size = min_size,
            .momentum = settings.beta1,
            .update = [settings](Stretch& s) { settings.update(s); },
            .adam_numbers = [settings](double lr, double t, double beta1) { return settings.numbers(lr, t, beta1); }};
  return std::make_unique<BlockwiseOptimizer>(request.groups, request.described(), std::move(rule));
}

std::unique_ptr<Optimizer> make(OptimizerRequest& request, std::vector<bool> is_signed, int64_t min_size,
                                double momentum, Update update) {
  Rule rule{std::move(is_signed), min_size, momentum, std::move(update), {}};
  return std::make_unique<BlockwiseOptimizer>(request.groups, request.described(), std::move(rule));
}

/// Value of a factor that grows from 0 to `final` over the first `steps` steps.
double warmed_up(double final, std::optional<double> steps, double t) {
  return steps ? std::min(t * final / *steps, final) : final;
}

std::unique_ptr<Optimizer> make_ademamix(OptimizerRequest& request, int64_t min_size) {
  auto& args = request.args;
  const auto betas = args.numbers("betas", {0.9, 0.999, 0.9999});
  const double alpha = args.number("alpha", 5.0);
  const auto t_alpha = args.optional_number("t_alpha"), t_beta3 = args.optional_number("t_beta3");
  const double eps = args.number("eps", 1e-8), decay = args.number("weight_decay", 1e-2);
  return make(request, {true, true, false}, min_size, betas[0], [=](Stretch& s) {
    double beta3 = betas[2];
    if (t_beta3) {
      const double log1 = std::log(s.momentum), log3 = std::log(betas[2]), share = std::min(s.t / *t_beta3, 1 - 1e-8);
      beta3 = std::min(std::exp(log1 * log3 / ((1 - share) * log3 + share * log1)), betas[2]);
    }
    auto& fast = s.states[0];
    auto& slow = s.states[1];
    auto& v = s.states[2];
    fast.mul_(s.momentum).add_(s.g, 1 - s.momentum);
    slow.mul_(beta3).add_(s.g, 1 - beta3);
    v.mul_(betas[1]).addcmul_(s.g, s.g, 1 - betas[1]);
    const double b1 = 1 - std::pow(s.momentum, s.t), b2 = std::sqrt(1 - std::pow(betas[1], s.t));
    if (decay != 0) s.p.mul_(1 - s.lr * decay);
    const auto mixed = (fast / b1).add_(slow, warmed_up(alpha, t_alpha, s.t));
    s.p.addcdiv_(mixed, (v.sqrt() / b2).add_(eps), -s.lr);
  });
}

}  // namespace

std::unique_ptr<Optimizer> make_adamw_8bit(OptimizerRequest& request) {
  return make_adamw_blockwise(request, read_min_size(request.args));
}

std::unique_ptr<Optimizer> make_adamw_32bit(OptimizerRequest& request) {
  read_min_size(request.args);
  return make_adamw_blockwise(request, INT64_MAX);
}

std::unique_ptr<Optimizer> make_lion_8bit(OptimizerRequest& request) {
  const int64_t min_size = read_min_size(request.args);
  const auto betas = request.args.numbers("betas", {0.9, 0.99});
  const double decay = request.args.number("weight_decay", 0);
  return make(request, {true}, min_size, betas[0], [=](Stretch& s) {
    auto& m = s.states[0];
    if (decay != 0) s.p.mul_(1 - s.lr * decay);
    s.p.sub_((m * s.momentum).add_(s.g, 1 - s.momentum).sign_(), s.lr);
    m.mul_(betas[1]).add_(s.g, 1 - betas[1]);
  });
}

std::unique_ptr<Optimizer> make_sgd_8bit(OptimizerRequest& request) {
  log::warn_once("[--optimizer_type] SGDNesterov8bit uses plain momentum, as the reference does.");
  if (!request.args.has("momentum")) request.args.set("momentum", {0.9});
  const int64_t min_size = read_min_size(request.args);
  const double momentum = request.args.number("momentum", 0.9), decay = request.args.number("weight_decay", 0);
  if (const double dampening = request.args.number("dampening", 0); dampening != 0) {
    throw UsageError(fmt::format("[--optimizer_args dampening] got {}, expected 0 or nothing.", dampening));
  }
  return make(request, {true}, min_size, momentum, [=](Stretch& s) {
    auto& b = s.states[0];
    const auto g = decay != 0 ? s.g.add(s.p, decay) : s.g;
    if (s.t == 1) b.copy_(g);
    else b.mul_(s.momentum).add_(g);
    s.p.sub_(b, s.lr);
  });
}

std::unique_ptr<Optimizer> make_ademamix_8bit(OptimizerRequest& request) {
  return make_ademamix(request, read_min_size(request.args));
}

std::unique_ptr<Optimizer> make_ademamix_32bit(OptimizerRequest& request) {
  read_min_size(request.args);
  return make_ademamix(request, INT64_MAX);
}

}  // namespace loraptor::optim
