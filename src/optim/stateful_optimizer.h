// What all optimizers share: state buffers that run beside the flat parameter buffers, and how they are saved.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace loraptor::optim {

/// Holds states under names and saves them. Subclasses declare all states in their constructor.
class StatefulOptimizer : public Optimizer {
 public:
  std::map<std::string, at::Tensor> state_dict() const override;
  void load_state_dict(const std::map<std::string, at::Tensor>& state) override;
  std::string description() const override { return description_; }

 protected:
  StatefulOptimizer(std::vector<ParamGroup>& groups, std::string description)
      : groups_(groups), description_(std::move(description)) {}

  /// A float32 buffer beside each group's flat values, of the same layout; saved parameter by parameter.
  void add_buffer(const std::string& key, double initial = 0);
  at::Tensor& buffer(size_t group, const std::string& key) { return buffers_.at(key)[group]; }

  /// A number of the whole optimizer.
  void add_scalar(const std::string& key, double initial) { scalars_[key] = initial; }
  double& scalar(const std::string& key) { return scalars_.at(key); }
  double scalar(const std::string& key) const { return scalars_.at(key); }

  /// A tensor of one parameter whose shape is not the parameter's.
  void add_tensor(const std::string& parameter, const std::string& key, at::Tensor initial);
  at::Tensor& tensor(const std::string& parameter, const std::string& key) {
    return tensors_.at(parameter + "." + key);
  }

  /// A parameter's part of a buffer that has the layout of the group's flat values, in the parameter's shape.
  static at::Tensor part(const at::Tensor& flat_like, const ParamGroup& group, const Parameter& parameter);

  std::vector<ParamGroup>& groups_;

 private:
  std::map<std::string, at::Tensor> live_state() const;

  std::string description_;
  std::map<std::string, std::vector<at::Tensor>> buffers_;
  std::map<std::string, double> scalars_;
  std::map<std::string, at::Tensor> tensors_;
};

}  // namespace loraptor::optim
