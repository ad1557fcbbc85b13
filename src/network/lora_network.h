// The LoRA network: modules over one flat buffer of values and one of gradients.
#pragma once

#include <memory>
#include <vector>

#include "network/lora_module.h"
#include "network/network.h"

namespace loraptor::network {

/// Layout of the buffers: per model all lora_down, then all lora_up, so that groups with and without LoRA+ are slices.
/// Ref: sd-scripts@48d368f networks/lora_sd3.py:LoRANetwork.
class LoraNetwork : public Network {
 public:
  /// Creates, initialises and attaches one module a plan.
  LoraNetwork(const NetworkConfig& config, const NetworkArgs& args, std::vector<ModulePlan> plans,
              const NetworkSetup& setup);

  std::vector<optim::ParamGroup> param_groups(const LearningRates& rates) const override;
  const at::Tensor& flat_values() const override { return buffer_.values(); }
  const at::Tensor& flat_gradients() const override { return buffer_.gradients(); }
  std::vector<optim::Parameter> parameters() const override;
  io::NamedTensors state(at::ScalarType dtype) const override;
  void load(const std::filesystem::path& path) override;
  void merge_into_targets(double multiplier) override;
  void set_training(bool training) override { mode_->training = training; }
  void set_multiplier(double multiplier) override { mode_->multiplier = multiplier; }
  void begin_micro_step(int64_t micro_step) override { mode_->micro_step = micro_step; }
  WeightNormReport limit_weight_norms(double limit) override;
  std::string describe() const override;

  const std::vector<std::shared_ptr<LoraModule>>& modules() const { return modules_; }

 private:
  /// Elements of one model's part of the buffer.
  struct Section {
    TargetModel model;
    int64_t begin = 0, ups = 0, end = 0;  // downs lie in begin … ups, ups in ups … end
  };

  optim::ParamGroup make_group(const Section& section, bool downs, bool ups) const;
  double stored_alpha(const LoraPair& merged, const ModulePlan& plan) const;

  NetworkArgs args_;
  bool compat_alpha_qkv_;
  std::shared_ptr<NetworkMode> mode_;
  optim::FlatBuffer buffer_;
  std::vector<Section> sections_;
  std::vector<std::shared_ptr<LoraModule>> modules_;
};

}  // namespace loraptor::network
