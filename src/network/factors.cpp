#include "network/factors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "network/low_rank.h"

namespace loraptor::network {
namespace {

/// Uniform in ± 1/sqrt(columns): Kaiming's bound for a = sqrt(5).
FactorSpec kaiming(std::string key, int64_t rows, int64_t columns) {
  return {std::move(key), {rows, columns}, 1 / std::sqrt(static_cast<double>(columns)), 0};
}

FactorSpec zeros(std::string key, int64_t rows, int64_t columns) { return {std::move(key), {rows, columns}, 0, 0}; }

FactorSpec normal(std::string key, int64_t rows, int64_t columns, double deviation) {
  return {std::move(key), {rows, columns}, 0, deviation};
}

std::vector<FactorSpec> lokr_specs(const AlgoArgs& args, int64_t out, int64_t in, int64_t rank) {
  auto [out_small, out_large] = factor_pair(out, args.factor);
  const auto [in_small, in_large] = factor_pair(in, args.factor);
  if (args.unbalanced_factorization) std::swap(out_small, out_large);
  const auto is_low = [&](int64_t a, int64_t b) { return !args.full_matrix && 2 * rank < std::max(a, b); };
  std::vector<FactorSpec> specs;
  if (args.decompose_both && is_low(out_small, in_small)) {
    specs.push_back(kaiming("lokr_w1_a", out_small, rank));
    specs.push_back(kaiming("lokr_w1_b", rank, in_small));
  } else {
    specs.push_back(kaiming("lokr_w1", out_small, in_small));
  }
  if (is_low(out_large, in_large)) {
    specs.push_back(kaiming("lokr_w2_a", out_large, rank));
    specs.push_back(zeros("lokr_w2_b", rank, in_large));
  } else {
    specs.push_back(zeros("lokr_w2", out_large, in_large));
  }
  return specs;
}

/// The factor `key` itself, or the product of its halves.
at::Tensor whole(const Factors& factors, const std::string& key) {
  const auto found = factors.find(key);
  return found != factors.end() ? found->second : factors.at(key + "_a").mm(factors.at(key + "_b"));
}

/// A factor as a product a b: its halves, or itself and the identity on the shorter side.
std::pair<at::Tensor, at::Tensor> halves(const Factors& factors, const std::string& key) {
  const auto found = factors.find(key);
  if (found == factors.end()) return {factors.at(key + "_a"), factors.at(key + "_b")};
  const auto& matrix = found->second;
  const auto identity = at::eye(std::min(matrix.size(0), matrix.size(1)), matrix.options());
  if (matrix.size(0) <= matrix.size(1)) return {identity, matrix};
  return {matrix, identity};
}

bool is_lora(const Factors& factors) { return factors.count("lora_up.weight") != 0; }
bool is_loha(const Factors& factors) { return factors.count("hada_w1_a") != 0; }

}  // namespace

std::pair<int64_t, int64_t> factor_pair(int64_t dimension, int64_t factor) {
  if (factor > 0 && dimension % factor == 0) return std::minmax(factor, dimension / factor);
  const int64_t limit = factor < 0 ? dimension : factor;
  // The sum of a pair falls towards the square root, so the largest divisor up to it is the one.
  int64_t small = 1;
  for (int64_t i = 2; i * i <= dimension && i <= limit; ++i) {
    if (dimension % i == 0) small = i;
  }
  return {small, dimension / small};
}

std::vector<FactorSpec> factor_specs(const AlgoArgs& args, int64_t out, int64_t in, int64_t rank) {
  switch (args.algo) {
    case Algo::lora: return {kaiming("lora_down.weight", rank, in), zeros("lora_up.weight", out, rank)};
    case Algo::loha:
      return {normal("hada_w1_a", out, rank, 0.1), normal("hada_w1_b", rank, in, 1), zeros("hada_w2_a", out, rank),
              normal("hada_w2_b", rank, in, 1)};
    case Algo::lokr: return lokr_specs(args, out, in, rank);
  }
  LORAPTOR_ASSERT(false);
  return {};
}

int64_t rank_of(const Factors& factors) {
  for (const char* key : {"lora_down.weight", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"}) {
    if (const auto found = factors.find(key); found != factors.end()) return found->second.size(0);
  }
  return 0;
}

const char* algo_name(const Factors& factors) { return is_lora(factors) ? "lora" : is_loha(factors) ? "loha" : "lokr"; }

std::pair<int64_t, int64_t> layer_shape(const Factors& factors) {
  if (is_lora(factors)) return {factors.at("lora_up.weight").size(0), factors.at("lora_down.weight").size(1)};
  if (is_loha(factors)) return {factors.at("hada_w1_a").size(0), factors.at("hada_w1_b").size(1)};
  const auto [a1, b1] = halves(factors, "lokr_w1");
  const auto [a2, b2] = halves(factors, "lokr_w2");
  return {a1.size(0) * a2.size(0), b1.size(1) * b2.size(1)};
}

ExactProduct exact_product(const Factors& factors) {
  Factors wide;
  for (const auto& [key, value] : factors) wide[key] = value.to(at::kFloat);
  if (is_lora(wide)) return {wide.at("lora_down.weight"), wide.at("lora_up.weight")};
  if (is_loha(wide)) {
    // (A1 B1) * (A2 B2) = sum over i, j of (column i of A1 * column j of A2) (row i of B1 * row j of B2).
    const auto up = wide.at("hada_w1_a").unsqueeze(2) * wide.at("hada_w2_a").unsqueeze(1);    // [out,r,r]
    const auto down = wide.at("hada_w1_b").unsqueeze(1) * wide.at("hada_w2_b").unsqueeze(0);  // [r,r,in]
    return {down.flatten(0, 1), up.flatten(1)};
  }
  const auto [a1, b1] = halves(wide, "lokr_w1");
  const auto [a2, b2] = halves(wide, "lokr_w2");
  return {at::kron(b1, b2), at::kron(a1, a2)};
}

double delta_norm(const Factors& factors) {
  if (is_lora(factors)) return product_norm(factors.at("lora_up.weight"), factors.at("lora_down.weight"));
  if (is_loha(factors)) return delta_weight(factors).norm().item<double>();
  // Of a Kronecker product: the product of the norms.
  return whole(factors, "lokr_w1").norm().item<double>() * whole(factors, "lokr_w2").norm().item<double>();
}

at::Tensor delta_weight(const Factors& factors) {
  if (is_lora(factors)) return factors.at("lora_up.weight").mm(factors.at("lora_down.weight"));
  if (is_loha(factors)) return whole(factors, "hada_w1") * whole(factors, "hada_w2");
  return at::kron(whole(factors, "lokr_w1"), whole(factors, "lokr_w2"));
}

at::Tensor delta_product(const Factors& factors, const at::Tensor& x) {
  if (is_lora(factors)) {
    return at::linear(at::linear(x, factors.at("lora_down.weight")), factors.at("lora_up.weight"));
  }
  if (is_loha(factors)) return at::linear(x, delta_weight(factors));
  const auto w1 = whole(factors, "lokr_w1"), w2 = whole(factors, "lokr_w2");
  const auto parts = x.unflatten(-1, {w1.size(1), w2.size(1)});  // [..,in] -> [..,c,d]
  const auto h = at::linear(parts, w2);                          // [..,c,d] -> [..,c,b]
  return at::linear(h.transpose(-1, -2), w1)                     // [..,b,c] -> [..,b,a]
      .transpose(-1, -2)
      .flatten(-2);  // [..,a,b] -> [..,out]
}

at::Tensor decompose_factor(const at::Tensor& corrected, const at::Tensor& dora_scale, double multiplier) {
  const int64_t summed = dora_scale.size(1) == 1 ? 1 : 0;
  const auto norm = at::linalg_vector_norm(corrected, 2, {summed}, /*keepdim=*/true);
  const auto factor = dora_scale / (norm + std::numeric_limits<float>::epsilon());
  return multiplier == 1 ? factor : (factor - 1) * multiplier + 1;
}

at::Tensor weight_change(const Factors& factors, double strength, const at::Tensor& dora_scale,
                         const at::Tensor& weight, double multiplier) {
  Factors wide;
  for (const auto& [key, value] : factors) wide[key] = value.to(at::kFloat);
  const auto delta = delta_weight(wide) * strength;
  if (!dora_scale.defined()) return delta * multiplier;
  const auto old = weight.to(at::kFloat), corrected = old + delta;
  return corrected * decompose_factor(corrected, dora_scale.to(at::kFloat), multiplier) - old;
}

}  // namespace loraptor::network
