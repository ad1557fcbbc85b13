// One recorded optimizer run: its parameters, its gradients, and how it is repeated.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "optim/optimizer.h"
#include "support/golden.h"

namespace loraptor::test {

/// A golden case set up as a training run would: groups of parameters in flat buffers.
class OptimizerCase {
 public:
  OptimizerCase(const nlohmann::json& file, const nlohmann::json& description, at::Device device = at::kCPU)
      : quadratic_(description["gradient"] == "quadratic"), device_(device) {
    read_args(description["args"]);
    const auto shapes = file["shapes"].get<std::map<std::string, std::vector<int64_t>>>();
    for (const auto& names : description["groups"]) add_group(names.get<std::vector<std::string>>(), shapes);
  }

  optim::OptimizerConfig& config() { return config_; }
  std::vector<optim::ParamGroup>& groups() { return groups_; }
  const std::map<std::string, at::Tensor>& values() const { return values_; }

  /// Puts the gradients of step t (from 1) into the flat buffers.
  void set_gradients(int t) {
    at::NoGradGuard no_grad;
    for (auto& group : groups_) {
      for (auto& p : group.parameters) p.value.grad().copy_(gradient(p, t));
    }
  }

  std::vector<double> lrs() const { return std::vector<double>(groups_.size(), config_.learning_rate); }

 private:
  void read_args(const std::vector<std::string>& args) {
    for (size_t i = 0; i + 1 < args.size(); ++i) {
      if (args[i] == "--optimizer_type") config_.optimizer_type = args[++i];
      else if (args[i] == "--learning_rate") config_.learning_rate = std::stod(args[++i]);
      else if (args[i] == "--max_grad_norm") config_.max_grad_norm = std::stod(args[++i]);
      else if (args[i] == "--optimizer_args") {
        while (i + 1 < args.size() && !args[i + 1].starts_with("--")) config_.optimizer_args.push_back(args[++i]);
      } else {
        ADD_FAILURE() << "golden case uses " << args[i];
      }
    }
  }

  void add_group(const std::vector<std::string>& names, const std::map<std::string, std::vector<int64_t>>& shapes) {
    int64_t total = 0;
    for (const auto& name : names) total += c10::multiply_integers(shapes.at(name));
    const optim::FlatBuffer buffer(total, at::TensorOptions().dtype(at::kFloat).device(device_));
    optim::ParamGroup group{"group", config_.learning_rate, buffer.values(), buffer.gradients(), {}};
    int64_t offset = 0;
    at::NoGradGuard no_grad;
    for (const auto& name : names) {
      auto leaf = buffer.leaf(offset, shapes.at(name));
      leaf.copy_((unit_values("optim/param/" + name, leaf.numel()) * 0.5).view(leaf.sizes()));
      offset += leaf.numel();
      values_[name] = leaf;
      group.parameters.push_back({name, leaf});
    }
    groups_.push_back(std::move(group));
  }

  at::Tensor gradient(const optim::Parameter& p, int t) const {
    const int64_t n = p.value.numel();
    const auto noise = unit_values("optim/grad/" + p.name + "/" + std::to_string(t), n);
    at::Tensor g;
    if (quadratic_) {
      const auto target = unit_values("optim/target/" + p.name, n) * 0.5;
      g = 0.8 * (p.value.detach().reshape({-1}).to(at::kDouble) - target) + 0.1 * noise;
    } else {
      g = 0.1 * (1 + t % 4) * (0.6 * unit_values("optim/drift/" + p.name, n) + 0.4 * noise);
      if (p.name == "b" && t == 3) g.zero_();
    }
    return g.view(p.value.sizes());
  }

  bool quadratic_;
  at::Device device_;
  optim::OptimizerConfig config_;
  std::vector<optim::ParamGroup> groups_;
  std::map<std::string, at::Tensor> values_;
};

}  // namespace loraptor::test
