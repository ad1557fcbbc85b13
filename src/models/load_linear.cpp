#include "models/load_linear.h"

namespace loraptor::models {

nn::Linear load_linear(const PartReader& reader, const std::string& name, int64_t out, int64_t in, bool bias) {
  auto weight = reader.get(name + ".weight", {out, in});
  return nn::Linear(std::move(weight), bias ? reader.get(name + ".bias", {out}) : at::Tensor());
}

}  // namespace loraptor::models
