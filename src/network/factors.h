// LoRA, LoHa, LoKr and DoRA as formulas: which tensors a layer's correction is made of, and what it is.
//
// Keys and shapes are those of LyCORIS, so that programs that read its files read ours.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "network/network_args.h"

namespace loraptor::network {

/// The tensors of one module by their keys after the module's name: "lora_up.weight", "hada_w1_a", "lokr_w2" …
using Factors = std::map<std::string, at::Tensor>;

/// One tensor to be created.
struct FactorSpec {
  std::string key;
  std::vector<int64_t> shape;
  double uniform = 0;  // initial values are uniform in ± this …
  double normal = 0;   // … or normal with this deviation; both 0: zeros
};

/// The two factors of `dimension` that LyCORIS uses, smaller first: `factor` and the rest where that divides, else the
/// pair with the smallest sum whose smaller member is at most `factor` (-1: any).
/// Ref: lycoris_lora 4.1.3 functional/general.py:factorization.
std::pair<int64_t, int64_t> factor_pair(int64_t dimension, int64_t factor);

/// The tensors of a layer [out,in].
/// Ref: arXiv:2106.09685 (LoRA), arXiv:2108.06098 (LoHa), arXiv:2212.10650 (LoKr).
std::vector<FactorSpec> factor_specs(const AlgoArgs& args, int64_t out, int64_t in, int64_t rank);

/// The rank that alpha is divided by, as the shapes tell it; 0 for a LoKr of two full matrices, whose strength is 1.
int64_t rank_of(const Factors& factors);

/// {out, in} of the layer they correct.
std::pair<int64_t, int64_t> layer_shape(const Factors& factors);

/// The correction of the weight, [out,in], in the factors' dtype, differentiable, without its strength:
///   LoRA  up down;   LoHa  (w1_a w1_b) * (w2_a w2_b);   LoKr  kron(w1, w2), each maybe a product _a _b
at::Tensor delta_weight(const Factors& factors);

/// x delta^T for x [..,in] of the factors' dtype; only LoHa forms the matrix.
at::Tensor delta_product(const Factors& factors, const at::Tensor& x);

/// Two matrices with up down = delta_weight, float32 [out,k] and [k,in]: exact, with k = r for LoRA, r^2 for LoHa, and
/// for LoKr the rank of the smaller factor (at most its shorter side) times that of the larger one.
struct ExactProduct {
  at::Tensor down, up;
};
ExactProduct exact_product(const Factors& factors);

/// Frobenius norm of delta_weight.
double delta_norm(const Factors& factors);

/// "lora", "loha" or "lokr".
const char* algo_name(const Factors& factors);

/// DoRA's factor on the rows or columns of the corrected weight: dora_scale / |row or column|, float32 in the shape of
/// `dora_scale`, [out,1] or [1,in]. With a multiplier m it is m (factor - 1) + 1.
/// Ref: arXiv:2402.09353; lycoris_lora 4.1.3 functional/general.py:weight_decompose.
at::Tensor decompose_factor(const at::Tensor& corrected, const at::Tensor& dora_scale, double multiplier);

/// What merging adds to `weight` [out,in]: float32.
///   dora_scale   undefined where the module has none
at::Tensor weight_change(const Factors& factors, double strength, const at::Tensor& dora_scale,
                         const at::Tensor& weight, double multiplier);

}  // namespace loraptor::network
