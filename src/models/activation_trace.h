// Looking at a model's inner values, for tests and diagnostics.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>

namespace loraptor::models {

/// Called with a name and a tensor at the places a model's header lists. Empty: nothing is called.
using ActivationTrace = std::function<void(const std::string& name, const at::Tensor& value)>;

}  // namespace loraptor::models
