#include "network/applied_lora.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "network/key_names.h"
#include "network/lora_linear.h"

namespace loraptor::network {
namespace {

class AppliedLora : public nn::LinearAdapter {
 public:
  AppliedLora(const LoraPair& pair, at::Device device)
      : down_(pair.down.flatten(1).to(device, at::kFloat)),
        up_(pair.up.flatten(1).to(device, at::kFloat)),
        scale_(pair.scale()) {}

  at::Tensor forward(const at::Tensor& x, const nn::WeightStorage& weight, const at::Tensor& bias) const override {
    return low_rank_linear(x, weight, bias, {.down = down_, .up = up_, .mask = {}, .scale = scale_});
  }
  std::vector<at::Tensor> parameters() const override { return {}; }

 private:
  at::Tensor down_, up_;
  double scale_;
};

}  // namespace

std::set<std::string> attach_modules(const std::map<std::string, LoraPair>& modules,
                                     const std::vector<TargetLinear>& targets, const std::filesystem::path& path) {
  std::set<std::string> attached;
  for (const auto& target : targets) {
    const auto found = modules.find(module_name(target.model, target.path));
    if (found == modules.end()) continue;
    const auto& [name, pair] = *found;
    nn::Linear& layer = *target.layer;
    if (pair.up.size(0) != layer.out_features() || pair.down.flatten(1).size(1) != layer.in_features()) {
      throw FileError(path, fmt::format("{}: got lora_up [{}] and lora_down [{}], expected a layer of {} -> {}.\nHint: "
                                        "the LoRA may be made for another model.",
                                        name, fmt::join(pair.up.sizes(), ","), fmt::join(pair.down.sizes(), ","),
                                        layer.in_features(), layer.out_features()));
    }
    layer.attach(std::make_shared<AppliedLora>(pair, layer.weight().device()));
    attached.insert(name);
  }
  return attached;
}

}  // namespace loraptor::network
