#include "models/final_layer.h"

#include "kernels/layer_norm_modulate.h"
#include "models/load_linear.h"

namespace loraptor::models {

FinalLayer::FinalLayer(const PartReader& reader, const Sd3Variant& variant)
    : modulation_(load_linear(reader, "final_layer.adaLN_modulation.1", 2 * variant.width, variant.width)),
      linear_(
          load_linear(reader, "final_layer.linear", variant.patch * variant.patch * kLatentChannels, variant.width)) {}

at::Tensor FinalLayer::forward(const at::Tensor& x, const at::Tensor& condition) const {
  const auto mod = modulation_.forward(condition).chunk(2, 1);  // [B,2D] -> shift, scale
  return linear_.forward(kernels::layer_norm_modulate(x, mod[0], mod[1], 1e-6, linear_.compute_dtype()));
}

void FinalLayer::visit_linears(const std::string& prefix, const nn::LinearVisitor& visit) {
  visit(prefix + ".adaLN_modulation.1", modulation_);
  visit(prefix + ".linear", linear_);
}

}  // namespace loraptor::models
