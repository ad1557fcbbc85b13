// The names that the diffusers library gives to the same tensors.
#pragma once

#include <string>
#include <vector>

#include "models/checkpoint_keys.h"

namespace loraptor::models {

/// Original VAE names of the tensors `names` (diffusers' AutoencoderKL), which lie under `prefix` in the file.
/// The levels of the decoder count the other way round, and the projections of the attention are stored as matrices.
/// Names that are no VAE tensors stay as they are.
TensorNames diffusers_vae_names(const std::vector<std::string>& names, const std::string& prefix);

/// Original MMDiT names of the tensors `names` (diffusers' SD3Transformer2DModel), which lie under `prefix`.
/// q, k and v are joined to qkv; scale and shift change places where diffusers keeps them in the other order: in the
/// final layer and in the context side of the last block.
TensorNames diffusers_mmdit_names(const std::vector<std::string>& names, const std::string& prefix);

}  // namespace loraptor::models
