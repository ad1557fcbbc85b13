// Networks as the golden files describe them: arguments from their JSON, values by the rule.
#pragma once

#include <nlohmann/json.hpp>

#include "models/clip_text.h"
#include "models/mmdit.h"
#include "models/model_files.h"
#include "models/t5_encoder.h"
#include "network/network.h"
#include "support/golden.h"

namespace loraptor::test {

/// {"network_dim": 4, "network_alpha": 2.0, "split_qkv": "True", …} -> flags; texts other than the first two
/// become network_args.
inline network::NetworkConfig golden_network_config(const nlohmann::json& args) {
  network::NetworkConfig config;
  for (const auto& [key, value] : args.items()) {
    if (key == "network_dim") {
      config.network_dim = value.get<int64_t>();
    } else if (key == "network_alpha") {
      config.network_alpha = value.get<double>();
    } else if (value.is_string()) {
      config.network_args.push_back(key + "=" + value.get<std::string>());
    }
  }
  return config;
}

/// Element i of tensor KEY = float32(0.05 * v_i), v of unit_values("<model>/lora/" + KEY).
inline at::Tensor golden_lora_values(const std::string& model, const std::string& key, at::IntArrayRef shape) {
  return unit_values(model + "/lora/" + key, c10::multiply_integers(shape)).mul_(0.05).to(at::kFloat).view(shape);
}

inline void fill_golden_values(const network::Network& network, const std::string& model) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : network.parameters()) {
    parameter.value.detach().copy_(golden_lora_values(model, parameter.name, parameter.value.sizes()));
  }
}

/// Appends all Linears of a model.
template <class Model>
void append_targets(std::vector<network::TargetLinear>& targets, network::TargetModel which, Model& model) {
  model.visit_linears([&](const std::string& path, nn::Linear& layer) { targets.push_back({which, path, &layer}); });
}

/// Case `a` of mmdit_<model>.safetensors.
inline models::MMDiTInput golden_mmdit_input(const std::string& model) {
  const GoldenFile file(golden_folder() / "models" / ("mmdit_" + model + ".safetensors"));
  models::MMDiTInput input;
  input.x = file["a.x"];
  input.timesteps = file["a.timesteps"];
  input.context = file["a.context"];
  input.pooled = file["a.y"];
  return input;
}

/// A part of the model's checkpoint files.
inline models::PartReader golden_part(const std::string& model, models::Part part,
                                      const models::LoadOptions& options = {}) {
  const auto folder = golden_checkpoint(model);
  models::ModelConfig config;
  config.pretrained_model_name_or_path = folder / "mmdit_vae.safetensors";
  config.clip_l = folder / "clip_l.safetensors";
  config.clip_g = folder / "clip_g.safetensors";
  config.t5xxl = folder / "t5xxl.safetensors";
  return models::ModelFiles::open(config).part(part, options);
}

/// The four models that a network may train.
struct GoldenModels {
  explicit GoldenModels(const std::string& model, const models::LoadOptions& options = {})
      : clip_l(golden_part(model, models::Part::clip_l, options)),
        clip_g(golden_part(model, models::Part::clip_g, options)),
        t5(golden_part(model, models::Part::t5xxl, options)),
        mmdit(golden_part(model, models::Part::mmdit, options), {}) {}

  std::vector<network::TargetLinear> targets() {
    std::vector<network::TargetLinear> all;
    append_targets(all, network::TargetModel::clip_l, clip_l);
    append_targets(all, network::TargetModel::clip_g, clip_g);
    append_targets(all, network::TargetModel::t5, t5);
    append_targets(all, network::TargetModel::mmdit, mmdit);
    return all;
  }

  models::ClipText clip_l, clip_g;
  models::T5Encoder t5;
  models::MMDiT mmdit;
};

}  // namespace loraptor::test
