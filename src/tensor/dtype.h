// Names of tensor element types, as flags and files spell them.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>

namespace loraptor::tensor {

/// "fp16", "bf16", "float"/"fp32"/"no" -> dtype. Throws UsageError naming `flag` otherwise.
at::ScalarType dtype_from_precision(std::string_view text, std::string_view flag);

/// Safetensors dtype names (F32, F16, BF16, F8_E4M3, F8_E5M2, F64, I64, I32, I16, I8, U8, BOOL).
/// `dtype_from_safetensors` returns nullopt for an unknown name.
std::optional<at::ScalarType> dtype_from_safetensors(std::string_view name);
std::string_view safetensors_name(at::ScalarType dtype);

}  // namespace loraptor::tensor
