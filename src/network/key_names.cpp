#include "network/key_names.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace loraptor::network {
namespace {

struct ModelNames {
  TargetModel model;
  std::string_view prefix;
  std::string_view group;
};

constexpr std::array kNames{
    ModelNames{TargetModel::clip_l, "lora_te1", "textencoder 1"},
    ModelNames{TargetModel::clip_g, "lora_te2", "textencoder 2"},
    ModelNames{TargetModel::t5, "lora_te3", "textencoder 3"},
    ModelNames{TargetModel::mmdit, "lora_unet", "unet"},
};

const ModelNames& names_of(TargetModel model) {
  const auto* found = std::find_if(kNames.begin(), kNames.end(), [&](const auto& row) { return row.model == model; });
  LORAPTOR_ASSERT(found != kNames.end());
  return *found;
}

}  // namespace

std::string_view module_prefix(TargetModel model) { return names_of(model).prefix; }

std::string module_name(TargetModel model, std::string_view path) {
  std::string name = fmt::format("{}_{}", module_prefix(model), path);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::optional<TargetModel> model_of_module(std::string_view name) {
  for (const auto& row : kNames) {
    if (name.starts_with(row.prefix) && name.substr(row.prefix.size()).starts_with('_')) return row.model;
  }
  return std::nullopt;
}

ModuleKey split_key(std::string_view key) {
  const size_t dot = std::min(key.find('.'), key.size());
  return {std::string(key.substr(0, dot)), key.substr(dot)};
}

std::string group_name(TargetModel model, bool plus) {
  return fmt::format("{}{}", names_of(model).group, plus ? " plus" : "");
}

}  // namespace loraptor::network
