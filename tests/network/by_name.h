// Tensors of a file or network by their names.
#pragma once

#include <map>
#include <string>

#include "io/safetensors.h"

namespace loraptor::network {

using Tensors = std::map<std::string, at::Tensor>;

inline Tensors by_name(const io::NamedTensors& tensors) { return {tensors.begin(), tensors.end()}; }

}  // namespace loraptor::network
