#include "train/module_probe.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

namespace loraptor::train {
namespace {

const char* model_name(network::TargetModel model) {
  switch (model) {
    case network::TargetModel::clip_l: return "CLIP-L";
    case network::TargetModel::clip_g: return "CLIP-G";
    case network::TargetModel::t5: return "T5";
    case network::TargetModel::mmdit: return "the MMDiT";
  }
  return "";
}

bool is_finite(const at::Tensor& tensor) { return at::isfinite(tensor).all().item<bool>(); }

/// Stands in front of a layer's own adapter and looks at what comes out.
class Probe : public nn::LinearAdapter {
 public:
  Probe(std::string name, std::shared_ptr<const nn::LinearAdapter> inner, std::string& found)
      : name_(std::move(name)), inner_(std::move(inner)), found_(found) {}

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override {
    auto out = inner_ ? inner_->forward(x, weight, bias) : nn::frozen_linear(x, weight, bias);
    if (found_.empty() && !is_finite(out)) found_ = is_finite(x) ? name_ : "what goes into " + name_;
    return out;
  }
  std::vector<at::Tensor> parameters() const override {
    return inner_ ? inner_->parameters() : std::vector<at::Tensor>();
  }

  std::shared_ptr<const nn::LinearAdapter> inner() const { return inner_; }

 private:
  std::string name_;
  std::shared_ptr<const nn::LinearAdapter> inner_;
  std::string& found_;
};

/// "lora_unet_joint_blocks_0_x_block_attn_qkv" of "….lora_down.weight".
std::string module_of(const optim::Parameter& parameter) { return parameter.name.substr(0, parameter.name.find('.')); }

}  // namespace

std::string ModuleProbe::first_not_finite(const std::function<void()>& forward) const {
  const at::NoGradGuard no_grad;
  std::string found;
  std::vector<std::shared_ptr<const Probe>> probes;
  const auto take_away = [&] {
    for (size_t i = 0; i < probes.size(); ++i) layers_[i].layer->exchange(probes[i]->inner());
  };
  for (const auto& target : layers_) {
    auto inner = target.layer->exchange(nullptr);
    probes.push_back(std::make_shared<Probe>(fmt::format("layer {} of {}", target.path, model_name(target.model)),
                                             std::move(inner), found));
    target.layer->attach(probes.back());
  }
  try {
    forward();
  } catch (...) {
    take_away();
    throw;
  }
  take_away();
  return found;
}

std::string module_of_lost_gradient(const network::Network& network) {
  // Values lie down before up, so a module's first parameter tells its place in the forward order.
  std::vector<std::string> order, lost;
  for (const auto& parameter : network.parameters()) {
    const std::string module = module_of(parameter);
    if (std::find(order.begin(), order.end(), module) == order.end()) order.push_back(module);
    if (!is_finite(parameter.value.grad())) lost.push_back(module);
  }
  for (auto module = order.rbegin(); module != order.rend(); ++module) {
    if (std::find(lost.begin(), lost.end(), *module) != lost.end()) return "the gradient of " + *module;
  }
  return "";
}

std::string module_of_largest_gradient(const network::Network& network) {
  std::string largest;
  double norm = 0;
  for (const auto& parameter : network.parameters()) {
    const double own = at::linalg_vector_norm(parameter.value.grad().to(at::kFloat)).item<double>();
    if (own <= norm) continue;
    norm = own;
    largest = module_of(parameter);
  }
  return largest.empty() ? "" : "the gradient of " + largest;
}

}  // namespace loraptor::train
