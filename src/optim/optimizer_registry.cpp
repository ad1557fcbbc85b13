// The list of optimizers: name, class for the metadata, and the function that makes it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/suggest.h"
#include "optim/adafactor.h"
#include "optim/adam_family.h"
#include "optim/came.h"
#include "optim/dadaptation.h"
#include "optim/elementwise_optimizer.h"
#include "optim/muon.h"
#include "optim/optimizer.h"
#include "optim/optimizer_8bit.h"
#include "optim/optimizer_factory.h"
#include "optim/prodigy.h"
#include "optim/prodigy_plus.h"
#include "optim/rounded_optimizer.h"
#include "optim/schedule_free.h"
#include "optim/stable_adamw.h"

namespace loraptor::optim {
namespace {

enum class Spelling { any_case, exact };

/// Where the step size comes from.
enum class StepSize {
  given,             // the learning rates
  estimated,         // learnt, for each group or after the first group's rate
  estimated_common,  // learnt, one for all groups: their rates must not differ
};

struct Row {
  const char* name;  // what --optimizer_type says
  Spelling spelling;
  const char* class_name;  // what the metadata record; a dotted --optimizer_type may also be this
  std::unique_ptr<Optimizer> (*make)(OptimizerRequest&);
  StepSize step_size = StepSize::given;
};

// clang-format off
const Row kRows[] = {
    {"AdamW", Spelling::any_case, "torch.optim.adamw.AdamW", make_adamw},
    {"AdamW8bit", Spelling::any_case, "bitsandbytes.optim.adamw.AdamW8bit", make_adamw_8bit},
    {"PagedAdamW8bit", Spelling::any_case, "bitsandbytes.optim.adamw.PagedAdamW8bit", make_adamw_8bit},
    {"PagedAdamW", Spelling::any_case, "bitsandbytes.optim.adamw.PagedAdamW", make_adamw_32bit},
    {"PagedAdamW32bit", Spelling::any_case, "bitsandbytes.optim.adamw.PagedAdamW32bit", make_adamw_32bit},
    {"Lion", Spelling::any_case, "lion_pytorch.lion_pytorch.Lion", make_lion},
    {"Lion8bit", Spelling::any_case, "bitsandbytes.optim.lion.Lion8bit", make_lion_8bit},
    {"PagedLion8bit", Spelling::any_case, "bitsandbytes.optim.lion.PagedLion8bit", make_lion_8bit},
    {"SGD", Spelling::exact, "torch.optim.sgd.SGD", make_sgd},
    {"SGDNesterov", Spelling::any_case, "torch.optim.sgd.SGD", make_sgd_nesterov},
    {"SGDNesterov8bit", Spelling::any_case, "bitsandbytes.optim.sgd.SGD8bit", make_sgd_8bit},
    {"Adafactor", Spelling::any_case, "transformers.optimization.Adafactor", make_adafactor},
    {"Prodigy", Spelling::any_case, "prodigyopt.prodigy.Prodigy", make_prodigy, StepSize::estimated_common},
    {"DAdaptation", Spelling::any_case, "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint", make_dadapt_adam_preprint, StepSize::estimated_common},
    {"DAdaptAdamPreprint", Spelling::any_case, "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint", make_dadapt_adam_preprint, StepSize::estimated_common},
    {"DAdaptAdam", Spelling::any_case, "dadaptation.dadapt_adam.DAdaptAdam", make_dadapt_adam, StepSize::estimated_common},
    {"DAdaptAdaGrad", Spelling::any_case, "dadaptation.dadapt_adagrad.DAdaptAdaGrad", make_dadapt_adagrad, StepSize::estimated},
    {"DAdaptAdan", Spelling::any_case, "dadaptation.dadapt_adan.DAdaptAdan", make_dadapt_adan, StepSize::estimated},
    {"DAdaptLion", Spelling::any_case, "dadaptation.dadapt_lion.DAdaptLion", make_dadapt_lion, StepSize::estimated_common},
    {"DAdaptSGD", Spelling::any_case, "dadaptation.dadapt_sgd.DAdaptSGD", make_dadapt_sgd, StepSize::estimated_common},
    {"DAdaptAdanIP", Spelling::any_case, "dadaptation.experimental.dadapt_adan_ip.DAdaptAdanIP", make_dadapt_adan_ip, StepSize::estimated},
    {"AdamWScheduleFree", Spelling::any_case, "schedulefree.adamw_schedulefree.AdamWScheduleFree", make_adamw_schedule_free},
    {"RAdamScheduleFree", Spelling::any_case, "schedulefree.radam_schedulefree.RAdamScheduleFree", make_radam_schedule_free},
    {"SGDScheduleFree", Spelling::any_case, "schedulefree.sgd_schedulefree.SGDScheduleFree", make_sgd_schedule_free},
    {"Adam", Spelling::exact, "torch.optim.adam.Adam", make_adam},
    {"RAdam", Spelling::exact, "torch.optim.radam.RAdam", make_radam},
    {"NAdam", Spelling::exact, "torch.optim.nadam.NAdam", make_nadam},
    {"Adagrad", Spelling::exact, "torch.optim.adagrad.Adagrad", make_adagrad},
    {"RMSprop", Spelling::exact, "torch.optim.rmsprop.RMSprop", make_rmsprop},
    {"Adamax", Spelling::exact, "torch.optim.adamax.Adamax", make_adamax},
    {"Adadelta", Spelling::exact, "torch.optim.adadelta.Adadelta", make_adadelta},
    {"CAME", Spelling::any_case, "pytorch_optimizer.optimizer.came.CAME", make_came},
    {"StableAdamW", Spelling::any_case, "pytorch_optimizer.optimizer.adamw.StableAdamW", make_stable_adamw},
    {"Muon", Spelling::any_case, "torch.optim.Muon", make_muon},
    {"prodigyplus.ProdigyPlusScheduleFree", Spelling::exact, "prodigyplus.prodigy_plus_schedulefree.ProdigyPlusScheduleFree", make_prodigy_plus, StepSize::estimated},
    {"bitsandbytes.optim.AdEMAMix8bit", Spelling::exact, "bitsandbytes.optim.ademamix.AdEMAMix8bit", make_ademamix_8bit},
    {"bitsandbytes.optim.AdEMAMix", Spelling::exact, "bitsandbytes.optim.ademamix.AdEMAMix", make_ademamix_32bit},
};
// clang-format on

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string resolved_type(const OptimizerConfig& config) {
  const bool given = !config.optimizer_type.empty();
  if (config.use_8bit_adam && config.use_lion_optimizer) {
    throw UsageError("[--use_8bit_adam] conflicts with --use_lion_optimizer: got both, expected one --optimizer_type.");
  }
  if ((config.use_8bit_adam || config.use_lion_optimizer) && given) {
    throw UsageError(fmt::format("[--optimizer_type] given together with {}: got both, expected only --optimizer_type.",
                                 config.use_8bit_adam ? "--use_8bit_adam" : "--use_lion_optimizer"));
  }
  if (config.use_8bit_adam) return "AdamW8bit";
  if (config.use_lion_optimizer) return "Lion";
  return given ? config.optimizer_type : "AdamW";
}

bool matches(const Row& row, const std::string& type) {
  if (type.find('.') == std::string::npos) {
    return row.spelling == Spelling::exact ? type == row.name : lower(type) == lower(row.name);
  }
  // A dotted path names a class by the package that exports it or by the module it lies in.
  const std::string class_name = row.class_name;
  const std::string package = class_name.substr(0, class_name.find('.'));
  const std::string last = class_name.substr(class_name.rfind('.') + 1);
  return type == class_name || type == package + "." + last || type == package + ".optim." + last;
}

const Row& find_row(const std::string& type) {
  for (const auto& row : kRows) {
    if (matches(row, type)) return row;
  }
  const auto names = optimizer_names();
  const std::string nearest = did_you_mean(type, names);
  throw UsageError(fmt::format("[--optimizer_type] unknown optimizer: got '{}', expected one of {}.{}{}", type,
                               fmt::join(names, ", "), nearest.empty() ? "" : "\nHint: ", nearest));
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const auto& row : kRows) names.emplace_back(row.name);
  return names;
}

OptimizerTraits optimizer_traits(const OptimizerConfig& config) {
  OptimizerTraits traits;
  traits.type = resolved_type(config);
  const Row& row = find_row(traits.type);
  traits.schedule_free = lower(traits.type).ends_with("schedulefree");
  traits.estimates_d = row.step_size != StepSize::given;
  if (row.make == make_adafactor) traits.own_schedule = adafactor_sets_lr({config.optimizer_args, "--optimizer_args"});
  return traits;
}

void check_rates(const OptimizerConfig& config, const std::vector<double>& rates) {
  const Row& row = find_row(resolved_type(config));
  if (row.step_size == StepSize::estimated_common) common_rate(rates, row.name);
}

std::unique_ptr<Optimizer> create_optimizer(const OptimizerConfig& config, std::vector<ParamGroup>& groups,
                                            uint64_t seed) {
  const Row& row = find_row(resolved_type(config));
  const auto make = [&](std::vector<ParamGroup>& float_groups) {
    KeywordArgs args(config.optimizer_args, "--optimizer_args");
    OptimizerRequest request{float_groups, args, config, row.class_name};
    return row.make(request);
  };
  const bool is_float = groups.empty() || groups[0].flat.scalar_type() == at::kFloat;
  return is_float ? make(groups) : make_rounded_optimizer(groups, seed, make);
}

}  // namespace loraptor::optim
