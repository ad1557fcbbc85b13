#include "network/factor_network.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "network/factor_file.h"
#include "network/key_names.h"
#include "network/load_report.h"
#include "network/model_rates.h"

namespace loraptor::network {
namespace {

void refuse_settings_of_plain_lora(const NetworkConfig& config, const NetworkArgs& args,
                                   const std::vector<ModulePlan>& plans) {
  const auto refuse = [](const std::string& what) {
    throw UsageError(
        fmt::format("[--network_args] {}: got it together with LoHa, LoKr or DoRA, expected plain LoRA.\n"
                    "Hint: remove it, or train with algo=lora and dora_wd=False.",
                    what));
  };
  if (config.network_dropout.value_or(0) > 0) refuse("--network_dropout");
  if (config.dim_from_weights) refuse("--dim_from_weights");
  if (args.rank_dropout > 0) refuse("rank_dropout");
  if (args.split_qkv) refuse("split_qkv");
  if (args.loraplus_lr_ratio + args.loraplus_unet_lr_ratio + args.loraplus_text_encoder_lr_ratio > 0) {
    refuse("loraplus_lr_ratio");
  }
  for (const auto& plan : plans) {
    if (!plan.kernel.empty()) refuse("the third number of emb_dims (x_embedder)");
  }
}

const char* title_of(const AlgoArgs& args) {
  switch (args.algo) {
    case Algo::lora: return "DoRA";
    case Algo::loha: return args.dora_wd ? "LoHa with DoRA" : "LoHa";
    case Algo::lokr: return args.dora_wd ? "LoKr with DoRA" : "LoKr";
  }
  return "";
}

/// The strength follows the file's alpha.
void take_alpha(FactorModule& module, double alpha, const std::filesystem::path& path) {
  // Files hold it in float32: 0.9 comes back as 0.8999999762.
  if (static_cast<float>(alpha) == static_cast<float>(module.alpha())) return;
  log::warn_once(fmt::format("[{}] the file's alpha is used in training too: got {}, the options say {}.",
                             path.string(), alpha, module.alpha()));
  module.set_alpha(alpha);
}

}  // namespace

FactorNetwork::FactorNetwork(const NetworkConfig& config, const NetworkArgs& args, std::vector<ModulePlan> plans,
                             const NetworkSetup& setup)
    : args_(args.algo), mode_(std::make_shared<NetworkMode>(setup.seed)) {
  refuse_settings_of_plain_lora(config, args, plans);
  mode_->module_dropout = args.module_dropout;
  for (const auto& plan : plans) {
    if (sections_.empty() || sections_.back().model != plan.target.model) {
      const int64_t begin = sections_.empty() ? 0 : sections_.back().end;
      sections_.push_back({plan.target.model, begin, begin});
    }
    sections_.back().end += FactorModule::size(plan, args_);
  }
  const int64_t elements = sections_.empty() ? 0 : sections_.back().end;
  buffer_ = optim::FlatBuffer(elements, at::TensorOptions(setup.device).dtype(setup.dtype));
  int64_t offset = 0;
  for (auto& plan : plans) {
    nn::Linear* layer = plan.target.layer;
    const int64_t size = FactorModule::size(plan, args_);
    modules_.push_back(std::make_shared<FactorModule>(std::move(plan), args_, mode_, buffer_, offset));
    layer->attach(modules_.back());
    offset += size;
  }
}

std::vector<optim::Parameter> FactorNetwork::parameters_of(TargetModel model) const {
  std::vector<optim::Parameter> all;
  for (const auto& module : modules_) {
    if (module->plan().target.model != model) continue;
    for (const auto& [key, leaf] : module->leaves()) all.push_back({module->plan().name + "." + key, leaf});
  }
  return all;
}

std::vector<optim::ParamGroup> FactorNetwork::param_groups(const LearningRates& rates) const {
  std::vector<optim::ParamGroup> groups;
  for (const auto& section : sections_) {
    const double lr = rate_of(rates, section.model);
    if (lr == 0) continue;
    groups.push_back({group_name(section.model, false), lr, buffer_.values().slice(0, section.begin, section.end),
                      buffer_.gradients().slice(0, section.begin, section.end), parameters_of(section.model)});
  }
  return groups;
}

std::vector<optim::Parameter> FactorNetwork::parameters() const {
  std::vector<optim::Parameter> all;
  for (const auto& section : sections_) {
    auto part = parameters_of(section.model);
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  return all;
}

io::NamedTensors FactorNetwork::state(at::ScalarType dtype) const {
  io::NamedTensors tensors;
  for (const auto& module : modules_) {
    const std::string& name = module->plan().name;
    const auto save = [&](const std::string& key, const at::Tensor& value) {
      tensors.emplace_back(name + "." + key, value.detach().to(at::kCPU, dtype, /*non_blocking=*/false, /*copy=*/true));
    };
    save("alpha", at::scalar_tensor(module->alpha(), at::kDouble));
    for (const auto& [key, leaf] : module->leaves()) save(key, leaf);
  }
  return tensors;
}

void FactorNetwork::load(const std::filesystem::path& path) {
  const at::NoGradGuard no_grad;
  const FactorFile file = read_factor_file(path);
  LoadReport report;
  report.unknown = file.unknown_keys;
  std::set<std::string> used;
  for (const auto& module : modules_) {
    const auto& name = module->plan().name;
    const auto found = file.modules.find(name);
    if (found == file.modules.end()) {
      report.missing.push_back(name);
      continue;
    }
    for (const auto& [key, leaf] : module->leaves()) {
      at::Tensor value = found->second.dora_scale;
      if (key != kDoraKey) {
        const auto factor = found->second.factors.find(key);
        value = factor == found->second.factors.end() ? at::Tensor() : factor->second;
      }
      if (!value.defined() || value.sizes() != leaf.sizes()) {
        throw FileError(path, fmt::format("{}.{}: got {}, expected shape [{}].\nHint: --network_dim, algo, factor and "
                                          "dora_wd must be those the file was trained with.",
                                          name, key,
                                          value.defined() ? fmt::format("shape [{}]", fmt::join(value.sizes(), ","))
                                                          : std::string("no such tensor"),
                                          fmt::join(leaf.sizes(), ",")));
      }
      at::Tensor(leaf).copy_(value);
    }
    if (found->second.alpha) take_alpha(*module, *found->second.alpha, path);
    used.insert(name);
  }
  for (const auto& [name, factors] : file.modules) {
    if (used.count(name) == 0) report.unknown.push_back(name);
  }
  report.loaded = used.size();
  report.tell(path);
}

void FactorNetwork::merge_into_targets(double multiplier) {
  for (const auto& module : modules_) {
    nn::Linear& layer = *module->plan().target.layer;
    layer.weight().add(module->change(multiplier));
    layer.detach();
  }
}

WeightNormReport FactorNetwork::limit_weight_norms(double limit) {
  WeightNormReport report;
  double sum = 0;
  for (const auto& module : modules_) {
    const double norm = module->norm(), clamped = std::max(norm, limit / 2);
    const double ratio = std::min(clamped, limit) / clamped;
    if (ratio != 1) {
      module->shrink(ratio);
      ++report.scaled;
    }
    sum += norm * ratio;
    report.max_norm = std::max(report.max_norm, norm * ratio);
  }
  if (!modules_.empty()) report.mean_norm = sum / static_cast<double>(modules_.size());
  return report;
}

std::string FactorNetwork::describe() const {
  std::vector<std::string> parts;
  for (const auto& section : sections_) {
    const auto count = std::count_if(modules_.begin(), modules_.end(),
                                     [&](const auto& module) { return module->plan().target.model == section.model; });
    parts.push_back(fmt::format("{} {} modules, {} parameters", group_name(section.model, false), count,
                                section.end - section.begin));
  }
  return fmt::format("{}: {}.", title_of(args_), fmt::join(parts, "; "));
}

}  // namespace loraptor::network
