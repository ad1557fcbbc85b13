#include "network/lora_network.h"

#include <fmt/ranges.h>
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "network/key_names.h"
#include "network/load_report.h"
#include "network/model_rates.h"

namespace loraptor::network {
namespace {

/// "3 modules: a, b, c" or the first few of them.
std::vector<int64_t> flat_shape(const at::Tensor& tensor) { return {tensor.size(0), tensor.numel() / tensor.size(0)}; }

/// Checks a file's pair against the module it is meant for; kernels may be given flattened.
void check_shapes(const std::filesystem::path& path, const ModulePlan& plan, const LoraPair& pair) {
  const auto [down, up] = saved_shapes(plan);
  const int64_t in = plan.target.layer->in_features();
  const bool fits = flat_shape(pair.down) == std::vector<int64_t>{down[0], in} &&
                    flat_shape(pair.up) == std::vector<int64_t>{up[0], up[1]};
  if (!fits) {
    throw FileError(path, fmt::format("{}: got lora_down [{}] and lora_up [{}], expected [{}] and [{}].\nHint: "
                                      "--dim_from_weights takes the ranks from the file.",
                                      plan.name, fmt::join(pair.down.sizes(), ","), fmt::join(pair.up.sizes(), ","),
                                      fmt::join(down, ","), fmt::join(up, ",")));
  }
  if (plan.splits > 1 && !is_block_diagonal(pair, plan.splits)) {
    throw FileError(path,
                    fmt::format("{}: got a lora_up with values outside its diagonal blocks, expected the merged "
                                "form of separate q, k and v pairs.\nHint: leave split_qkv out of --network_args.",
                                plan.name));
  }
}

/// The reference leaves alpha unchanged when it merges split pairs: then the file's alpha is that of each pair.
double trained_alpha(const LoraFile& file, const LoraPair& pair, const ModulePlan& plan) {
  if (plan.splits == 1) return pair.alpha;
  const auto args = file.metadata.find("ss_network_args");
  const auto alpha = file.metadata.find("ss_network_alpha");
  if (args == file.metadata.end() || alpha == file.metadata.end()) return pair.alpha;
  const bool split = args->second.find("\"split_qkv\": \"True\"") != std::string::npos;
  const bool unchanged = std::strtod(alpha->second.c_str(), nullptr) == pair.alpha;
  return split && unchanged ? pair.alpha * static_cast<double>(plan.splits) : pair.alpha;
}

}  // namespace

LoraNetwork::LoraNetwork(const NetworkConfig& config, const NetworkArgs& args, std::vector<ModulePlan> plans,
                         const NetworkSetup& setup)
    : args_(args), compat_alpha_qkv_(setup.compat_alpha_qkv), mode_(std::make_shared<NetworkMode>(setup.seed)) {
  mode_->neuron_dropout = config.network_dropout.value_or(0);
  mode_->rank_dropout = args.rank_dropout;
  mode_->module_dropout = args.module_dropout;
  for (const auto& plan : plans) {
    if (sections_.empty() || sections_.back().model != plan.target.model) {
      const int64_t begin = sections_.empty() ? 0 : sections_.back().end;
      sections_.push_back({plan.target.model, begin, begin, begin});
    }
    const auto [down, up] = LoraModule::sizes(plan);
    sections_.back().ups += down;
    sections_.back().end += down + up;
  }
  const int64_t elements = sections_.empty() ? 0 : sections_.back().end;
  buffer_ = optim::FlatBuffer(elements, at::TensorOptions(setup.device).dtype(setup.dtype));
  auto section = sections_.begin();
  int64_t next_down = 0, next_up = section == sections_.end() ? 0 : section->ups;
  for (auto& plan : plans) {
    if (plan.target.model != section->model) {
      ++section;
      next_down = section->begin;
      next_up = section->ups;
    }
    const auto [down, up] = LoraModule::sizes(plan);
    nn::Linear* layer = plan.target.layer;
    modules_.push_back(std::make_shared<LoraModule>(std::move(plan), mode_, buffer_, next_down, next_up));
    layer->attach(modules_.back());
    next_down += down;
    next_up += up;
  }
}

optim::ParamGroup LoraNetwork::make_group(const Section& section, bool downs, bool ups) const {
  optim::ParamGroup group;
  const int64_t begin = downs ? section.begin : section.ups, end = ups ? section.end : section.ups;
  group.flat = buffer_.values().slice(0, begin, end);
  group.flat_grad = buffer_.gradients().slice(0, begin, end);
  for (const bool up : {false, true}) {
    if (up ? !ups : !downs) continue;
    for (const auto& module : modules_) {
      if (module->plan().target.model != section.model) continue;
      for (auto& parameter : up ? module->up_parameters() : module->down_parameters()) {
        group.parameters.push_back(std::move(parameter));
      }
    }
  }
  return group;
}

std::vector<optim::ParamGroup> LoraNetwork::param_groups(const LearningRates& rates) const {
  std::vector<optim::ParamGroup> groups;
  const auto add = [&](optim::ParamGroup group, TargetModel model, bool plus, double lr) {
    group.name = group_name(model, plus);
    group.lr = lr;
    groups.push_back(std::move(group));
  };
  for (const auto& section : sections_) {
    const auto own = group_rates(args_, rates, section.model);
    if (own.empty()) continue;
    const bool has_plus = own.size() > 1;
    add(make_group(section, true, !has_plus), section.model, false, own.front());
    if (has_plus) add(make_group(section, false, true), section.model, true, own.back());
  }
  return groups;
}

std::vector<optim::Parameter> LoraNetwork::parameters() const {
  std::vector<optim::Parameter> all;
  for (const auto& section : sections_) {
    auto group = make_group(section, true, true);
    std::move(group.parameters.begin(), group.parameters.end(), std::back_inserter(all));
  }
  return all;
}

double LoraNetwork::stored_alpha(const LoraPair& merged, const ModulePlan& plan) const {
  return compat_alpha_qkv_ ? plan.alpha : merged.alpha;
}

io::NamedTensors LoraNetwork::state(at::ScalarType dtype) const {
  io::NamedTensors tensors;
  for (const auto& module : modules_) {
    const auto pair = module->merged();
    const std::string& name = module->plan().name;
    const auto save = [&](std::string_view key, const at::Tensor& value) {
      // A copy even where nothing is converted: the caller may write it while training goes on.
      tensors.emplace_back(name + std::string(key), value.to(at::kCPU, dtype, /*non_blocking=*/false, /*copy=*/true));
    };
    save(kAlphaKey, at::scalar_tensor(stored_alpha(pair, module->plan()), at::kDouble));
    save(kDownKey, pair.down);
    save(kUpKey, pair.up);
  }
  return tensors;
}

void LoraNetwork::load(const std::filesystem::path& path) {
  const LoraFile file = read_lora_file(path);
  LoadReport report;
  report.unknown = file.unknown_keys;
  std::map<std::string, bool> used;
  for (const auto& module : modules_) {
    const auto& plan = module->plan();
    const auto found = file.modules.find(plan.name);
    if (found == file.modules.end()) {
      report.missing.push_back(plan.name);
      continue;
    }
    check_shapes(path, plan, found->second);
    used[plan.name] = true;
    const double parts = static_cast<double>(plan.splits);
    const double alpha = compat_alpha_qkv_ ? parts * found->second.alpha : trained_alpha(file, found->second, plan);
    const double own_alpha = parts * plan.alpha;
    // Files hold it in float32: 0.9 comes back as 0.8999999762.
    const bool is_own = static_cast<float>(alpha) == static_cast<float>(own_alpha);
    if (!is_own) {
      log::warn_once(fmt::format("[{}] the file's alpha is used in training too: got {}, the options say {}.",
                                 path.string(), alpha / parts, plan.alpha));
    }
    module->assign(found->second, is_own ? own_alpha : alpha);
  }
  for (const auto& [name, pair] : file.modules) {
    if (used.count(name) == 0) report.unknown.push_back(name);
  }
  report.loaded = used.size();
  report.tell(path);
}

void LoraNetwork::merge_into_targets(double multiplier) {
  for (const auto& module : modules_) {
    const auto& plan = module->plan();
    plan.target.layer->weight().add(module->merged().delta().mul_(multiplier));
    plan.target.layer->detach();
  }
}

WeightNormReport LoraNetwork::limit_weight_norms(double limit) {
  WeightNormReport report;
  double sum = 0;
  for (const auto& module : modules_) {
    const double norm = module->norm();
    const double clamped = std::max(norm, limit / 2);
    const double ratio = std::min(clamped, limit) / clamped;
    if (ratio != 1) {
      module->shrink(std::sqrt(ratio));
      ++report.scaled;
    }
    sum += norm * ratio;
    report.max_norm = std::max(report.max_norm, norm * ratio);
  }
  if (!modules_.empty()) report.mean_norm = sum / static_cast<double>(modules_.size());
  return report;
}

std::string LoraNetwork::describe() const {
  std::string text = "LoRA:";
  for (const auto& section : sections_) {
    const auto count = std::count_if(modules_.begin(), modules_.end(),
                                     [&](const auto& module) { return module->plan().target.model == section.model; });
    text += fmt::format("{} {} {} modules, {} parameters", text.ends_with(':') ? "" : ";",
                        group_name(section.model, false), count, section.end - section.begin);
  }
  return text + ".";
}

}  // namespace loraptor::network
