#include "train/precision.h"

#include <algorithm>

#include "tensor/dtype.h"

namespace loraptor::train {

Precision make_precision(const TrainConfig& config) {
  Precision precision{};
  precision.compute = tensor::dtype_from_precision(config.memory.mixed_precision, "--mixed_precision");
  precision.t5 = config.model.t5xxl_dtype ? tensor::dtype_from_precision(*config.model.t5xxl_dtype, "--t5xxl_dtype")
                                          : precision.compute;
  precision.vae = config.model.no_half_vae ? at::kFloat : precision.compute;
  precision.lora = config.memory.full_fp16 ? at::kHalf : config.memory.full_bf16 ? at::kBFloat16 : at::kFloat;
  if (config.saving.save_precision) {
    precision.save = tensor::dtype_from_precision(*config.saving.save_precision, "--save_precision");
  }
  precision.needs_loss_scaling = precision.compute == at::kHalf;
  return precision;
}

bool has_compat(const TrainConfig& config, const char* name) {
  const auto& list = config.model.kohya_compat;
  return std::any_of(list.begin(), list.end(), [&](const auto& item) { return item == name || item == "all"; });
}

}  // namespace loraptor::train
