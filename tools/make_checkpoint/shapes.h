// Tensor names and shapes of an SD3-shaped model, part by part, from a few sizes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace loraptor::tools {

using Shape = std::vector<int64_t>;
using NamedShapes = std::vector<std::pair<std::string, Shape>>;

/// part    mmdit, vae, clip_l, clip_g or t5xxl
/// model   sizes in the form of tests/golden/models.json
NamedShapes part_shapes(const nlohmann::json& model, const std::string& part);

/// Sizes of a built-in model: demo, sd3-medium, sd3.5-medium, sd3.5-large. Null if there is none of that name.
nlohmann::json builtin_model(const std::string& name);

}  // namespace loraptor::tools
