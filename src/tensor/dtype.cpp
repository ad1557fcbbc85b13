#include "tensor/dtype.h"

#include "base/error.h"

namespace loraptor::tensor {
namespace {

struct Row {
  std::string_view name;
  at::ScalarType dtype;
};

constexpr Row kSafetensorsTypes[] = {
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
};

}  // namespace

at::ScalarType dtype_from_precision(std::string_view text, std::string_view flag) {
  if (text == "fp16" || text == "float16") return at::kHalf;
  if (text == "bf16" || text == "bfloat16") return at::kBFloat16;
  if (text == "float" || text == "fp32" || text == "float32" || text == "no") return at::kFloat;
  throw UsageError(fmt::format("[{}] precision: got '{}', expected float, fp16 or bf16.", flag, text));
}

std::optional<at::ScalarType> dtype_from_safetensors(std::string_view name) {
  for (const auto& row : kSafetensorsTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::string_view safetensors_name(at::ScalarType dtype) {
  for (const auto& row : kSafetensorsTypes) {
    if (row.dtype == dtype) return row.name;
  }
  throw UsageError(fmt::format("dtype {} cannot be stored in a safetensors file.", at::toString(dtype)));
}

}  // namespace loraptor::tensor
