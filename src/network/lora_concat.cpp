#include "network/lora_concat.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/python_format.h"
#include "network/factor_file.h"
#include "network/key_names.h"
#include "tensor/rng.h"

namespace loraptor::network {
namespace {

std::string layer_text(const LoraPair& pair) {
  return fmt::format("{} -> {}", fmt::join(pair.down.sizes().slice(1), "x"), pair.up.size(0));
}

/// One file's part of a module.
struct Share {
  const WeightedLora* lora;
  LoraPair pair;
};

/// The share of a file that has the module.
std::optional<Share> share_of(const WeightedLora& lora, const std::string& name) {
  if (const auto pair = lora.file.modules.find(name); pair != lora.file.modules.end())
    return Share{&lora, pair->second};
  const auto set = lora.factors.find(name);
  if (set == lora.factors.end()) return std::nullopt;
  return Share{&lora, exact_pair(set->second, name, lora.file.path)};
}

LoraPair concat_shares(const std::string& name, const std::vector<Share>& shares) {
  const LoraPair& first = shares.front().pair;
  const double scale = first.alpha != 0 ? first.scale() : 1;
  std::vector<at::Tensor> downs, ups;
  for (const auto& [lora, pair] : shares) {
    const bool fits = pair.down.sizes().slice(1) == first.down.sizes().slice(1) && pair.up.size(0) == first.up.size(0);
    if (!fits) {
      throw FileError(lora->file.path, fmt::format("{}: got a layer {}, expected {} as in {}.", name, layer_text(pair),
                                                   layer_text(first), shares.front().lora->file.path.string()));
    }
    downs.push_back(pair.down.to(at::kFloat));
    ups.push_back(pair.up.to(at::kFloat) * (lora->ratio * pair.scale() / scale));
  }
  LoraPair out;
  out.down = at::cat(downs, 0);
  out.up = at::cat(ups, 1);
  out.alpha = scale * static_cast<double>(out.rank());
  return out;
}

/// The one value of all, or "Dynamic".
template <class T>
std::string common_text(const std::set<T>& values) {
  return values.size() == 1 ? python_repr(*values.begin()) : "Dynamic";
}

}  // namespace

std::vector<std::string> WeightedLora::module_names() const {
  std::set<std::string> names;
  for (const auto& [name, pair] : file.modules) names.insert(name);
  for (const auto& [name, set] : factors) names.insert(name);
  return {names.begin(), names.end()};
}

WeightedLora read_any_lora(const std::filesystem::path& path) {
  WeightedLora lora;
  if (is_beyond_lora(path)) {
    FactorFile file = read_factor_file(path);
    lora.file.path = path;
    lora.file.metadata = std::move(file.metadata);
    lora.file.unknown_keys = std::move(file.unknown_keys);
    lora.factors = std::move(file.modules);
  } else {
    lora.file = read_lora_file(path);
  }
  if (const auto& unknown = lora.file.unknown_keys; !unknown.empty()) {
    log::warn("[{}] {} tensors are no part of a module, left out (first: {}).", path.string(), unknown.size(),
              unknown.front());
  }
  return lora;
}

void check_finite(const WeightedLora& lora) {
  const auto check = [&](const std::string& module, const at::Tensor& values) {
    if (!values.defined() || values.to(at::kFloat).isfinite().all().item<bool>()) return;
    throw FileError(lora.file.path, fmt::format("{}: got NaN or infinite values, expected finite ones.", module));
  };
  for (const auto& [name, pair] : lora.file.modules) {
    check(name, pair.down);
    check(name, pair.up);
  }
  for (const auto& [name, set] : lora.factors) {
    for (const auto& [key, factor] : set.factors) check(name, factor);
    check(name, set.dora_scale);
  }
}

std::vector<WeightedLora> read_weighted_loras(const std::vector<std::string>& paths, const std::vector<double>& ratios,
                                              const LoraFlags& flags) {
  if (paths.empty()) {
    throw UsageError(fmt::format("[{}] got nothing, expected one LoRA file or several.", flags.files));
  }
  if (!ratios.empty() && ratios.size() != paths.size()) {
    throw UsageError(fmt::format("[{}] got {} numbers, expected one for each of the {} files of {}.", flags.ratios,
                                 ratios.size(), paths.size(), flags.files));
  }
  for (const double ratio : ratios) {
    if (std::isfinite(static_cast<float>(ratio))) continue;
    throw UsageError(fmt::format("[{}] got {}, expected finite numbers (of float32).", flags.ratios, ratio));
  }
  std::vector<WeightedLora> loras;
  for (size_t i = 0; i < paths.size(); ++i) {
    loras.push_back(read_any_lora(paths[i]));
    check_finite(loras.back());
    if (!ratios.empty()) loras.back().ratio = ratios[i];
  }
  return loras;
}

LoraPair exact_pair(const FactorSet& set, const std::string& name, const std::filesystem::path& path) {
  if (set.is_dora()) {
    throw FileError(path, fmt::format("{}: got a module of DoRA, whose correction depends on the weight, expected "
                                      "LoRA, LoHa or LoKr.\nHint: `loraptor merge` writes it into a checkpoint, and "
                                      "`loraptor extract` makes a plain LoRA of the difference.",
                                      name));
  }
  auto [down, up] = exact_product(set.factors);
  const double rank = static_cast<double>(down.size(0));
  return {std::move(down), std::move(up), set.strength() * rank};
}

LoraPair concat_module(const std::vector<WeightedLora>& loras, const std::string& name) {
  std::vector<Share> shares;
  for (const auto& lora : loras) {
    if (auto share = share_of(lora, name)) shares.push_back(std::move(*share));
  }
  LORAPTOR_ASSERT(!shares.empty());
  return concat_shares(name, shares);
}

std::map<std::string, LoraPair> concat_loras(const std::vector<WeightedLora>& loras) {
  std::map<std::string, LoraPair> out;
  for (const auto& lora : loras) {
    for (const auto& name : lora.module_names()) {
      if (out.count(name) == 0) out[name] = concat_module(loras, name);
    }
  }
  return out;
}

void shuffle_ranks(std::map<std::string, LoraPair>& modules, uint64_t seed) {
  const tensor::CounterRng rng(seed);
  for (auto& [name, pair] : modules) {
    const auto order = at::tensor(rng.permutation(pair.rank(), {tensor::Purpose::lora_init, 0, xxh3(name)}));
    pair.down = pair.down.index_select(0, order);
    pair.up = pair.up.index_select(1, order);
  }
}

io::NamedTensors lora_tensors(const std::map<std::string, LoraPair>& modules, at::ScalarType dtype) {
  io::NamedTensors tensors;
  for (const auto& [name, pair] : modules) {
    tensors.emplace_back(name + std::string(kAlphaKey), at::scalar_tensor(pair.alpha, dtype));
    tensors.emplace_back(name + std::string(kDownKey), pair.down.to(dtype));
    tensors.emplace_back(name + std::string(kUpKey), pair.up.to(dtype));
  }
  return tensors;
}

io::Metadata network_size_metadata(const std::map<std::string, LoraPair>& modules) {
  std::set<int64_t> ranks;
  std::set<double> alphas;
  for (const auto& [name, pair] : modules) {
    ranks.insert(pair.rank());
    alphas.insert(pair.alpha);
  }
  return {{"ss_network_dim", common_text(ranks)}, {"ss_network_alpha", common_text(alphas)}};
}

io::Metadata merged_metadata(const std::vector<WeightedLora>& loras, const std::map<std::string, LoraPair>& modules,
                             const std::string& title) {
  io::Metadata metadata = network_size_metadata(modules);
  metadata["ss_v2"] = "False";
  metadata["ss_network_module"] = "networks.lora";
  std::vector<std::string> names;
  for (const auto& lora : loras) {
    const auto& theirs = lora.file.metadata;
    names.push_back(lora.file.path.stem().string());
    for (const char* key : {"ss_base_model_version", "modelspec.architecture"}) {
      const auto found = theirs.find(key);
      if (found == theirs.end()) continue;
      const auto [entry, is_new] = metadata.try_emplace(key, found->second);
      if (is_new || entry->second == found->second) continue;
      log::warn("[{}] {}: got {}, the files before it say {}.", lora.file.path.string(), key, found->second,
                entry->second);
    }
  }
  metadata["modelspec.sai_model_spec"] = "1.0.1";
  metadata["modelspec.title"] = title;
  metadata["modelspec.date"] = local_time_iso();
  metadata["modelspec.merged_from"] = fmt::format("{}", fmt::join(names, ", "));
  return metadata;
}

}  // namespace loraptor::network
