#include "models/t5_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "models/load_linear.h"

namespace loraptor::models {
namespace {

constexpr double kEps = 1e-6;
constexpr double kMaxDistance = 128;
constexpr double kHalfScale = 1.0 / 256;  // a power of two: exact
constexpr const char* kTable = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

std::string block_path(int64_t i, const char* rest) { return fmt::format("encoder.block.{}.layer.{}", i, rest); }

}  // namespace

at::Tensor relative_position_buckets(int64_t tokens, int64_t buckets) {
  const int64_t half = buckets / 2, exact = half / 2;
  auto table = at::empty({tokens, tokens}, at::kLong);
  int64_t* out = table.mutable_data_ptr<int64_t>();
  for (int64_t query = 0; query < tokens; ++query) {
    for (int64_t key = 0; key < tokens; ++key) {
      const int64_t distance = std::abs(key - query);
      int64_t bucket = distance;
      if (distance >= exact) {
        // float32 throughout, as the reference computes it: the bounds of some buckets depend on it.
        const float position = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                               static_cast<float>(std::log(kMaxDistance / exact)) * static_cast<float>(half - exact);
        bucket = std::min(exact + static_cast<int64_t>(position), half - 1);
      }
      *out++ = bucket + (key > query ? half : 0);
    }
  }
  return table;
}

T5Encoder::T5Encoder(const PartReader& reader) {
  const auto vocabulary = reader.shape("shared.weight");
  const auto table = reader.shape(kTable);
  if (vocabulary.size() != 2 || table.size() != 2) {
    throw FileError(reader.path(),
                    fmt::format("{}: embedding and position table have the wrong shapes: got {} and {} axes, "
                                "expected 2 and 2.",
                                reader.part(), vocabulary.size(), table.size()));
  }
  const int64_t width = vocabulary[1];
  embedding_ = reader.get("shared.weight", vocabulary);
  position_bias_ = reader.get(kTable, table);
  // At least one, so that a missing first block is named.
  const int64_t count = std::max<int64_t>(1, count_layers(reader, "encoder.block.", ".layer.0.SelfAttention.q.weight"));
  for (int64_t i = 0; i < count; ++i) {
    const auto linear = [&](const char* name, int64_t out, int64_t in) {
      return load_linear(reader, block_path(i, name), out, in, /*bias=*/false);
    };
    Block block;
    block.norm1 = load_rms_norm(reader, block_path(i, "0.layer_norm"), width, kEps);
    block.norm2 = load_rms_norm(reader, block_path(i, "1.layer_norm"), width, kEps);
    block.q = linear("0.SelfAttention.q", out_features(reader, block_path(i, "0.SelfAttention.q")), width);
    const int64_t inner = block.q.out_features();
    if (inner % table[1] != 0) {
      throw FileError(reader.path(), fmt::format("{}: block {}: {} channels do not divide by {} heads.", reader.part(),
                                                 i, inner, table[1]));
    }
    block.k = linear("0.SelfAttention.k", inner, width);
    block.v = linear("0.SelfAttention.v", inner, width);
    block.o = linear("0.SelfAttention.o", width, inner);
    block.wi_0 = linear("1.DenseReluDense.wi_0", out_features(reader, block_path(i, "1.DenseReluDense.wi_0")), width);
    block.wi_1 = linear("1.DenseReluDense.wi_1", block.wi_0.out_features(), width);
    block.wo = linear("1.DenseReluDense.wo", width, block.wi_0.out_features());
    blocks_.push_back(std::move(block));
  }
  final_norm_ = load_rms_norm(reader, "encoder.final_layer_norm", width, kEps);
}

at::Tensor T5Encoder::attention_bias(int64_t tokens, const std::optional<at::Tensor>& mask) const {
  const auto buckets = relative_position_buckets(tokens, position_bias_.size(0)).to(device());
  auto bias = at::embedding(position_bias_, buckets).permute({2, 0, 1}).unsqueeze(0);  // [T,T,h] -> [1,h,T,T]
  if (mask) {
    const auto padding = mask->to(device()).eq(0).view({-1, 1, 1, tokens});  // [B,1,1,T]
    bias = bias.masked_fill(padding, -std::numeric_limits<double>::infinity());
  }
  return bias.to(blocks_.front().q.compute_dtype()).contiguous();
}

at::Tensor T5Encoder::run_block(int64_t number, const at::Tensor& h, const at::Tensor& bias,
                                const ActivationDropout& dropout) const {
  const Block& block = blocks_[static_cast<size_t>(number)];
  const auto dropped = [&](const at::Tensor& value, const char* place) {
    return dropout.apply(value, block_path(number, place));
  };
  const int64_t heads = position_bias_.size(1), tokens = h.size(1);
  const auto x = block.norm1.forward(h);
  AttentionInputs inputs{block.q.forward(x), block.k.forward(x), block.v.forward(x), heads, bias, false, /*scale=*/1.0};
  if (dropout.is_on()) {
    inputs.dropout = dropout.mask(block_path(number, "0.weights"), {h.size(0), heads, tokens, tokens});
  }
  const auto middle = h + dropped(block.o.forward(attend(inputs)), "0.output");
  const auto y = block.norm2.forward(middle);
  const auto gate = at::gelu(block.wi_0.forward(y), "tanh");
  const auto value = block.wi_1.forward(y);
  if (block.wo.compute_dtype() != at::kHalf) {
    return middle + dropped(block.wo.forward(dropped(gate * value, "1.product")), "1.output");
  }
  // The product and wo's output pass float16's limit in some layers of T5-XXL; wo is linear, so a factor may move.
  const auto scaled = dropped(gate.to(at::kFloat) * value * kHalfScale, "1.product");
  return middle + dropped(block.wo.forward(scaled).to(at::kFloat) / kHalfScale, "1.output");
}

at::Tensor T5Encoder::forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask,
                              const ActivationTrace& trace, const ActivationDropout& dropout) const {
  LORAPTOR_ASSERT(ids.dim() == 2);
  const auto bias = attention_bias(ids.size(1), mask);
  auto h = at::embedding(embedding_, ids.to(device(), at::kLong)).to(at::kFloat);
  if (trace) trace("embeddings", h);
  h = dropout.apply(h, "embeddings");
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    const auto number = static_cast<int64_t>(i);
    const auto forward = [this, number, bias, dropout](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
      return {run_block(number, in[0], bias, dropout)};
    };
    h = runner_->run(
        {number,
         forward,
         {h},
         adapter_parameters({&block.q, &block.k, &block.v, &block.o, &block.wi_0, &block.wi_1, &block.wo})})[0];
    if (trace) trace(fmt::format("after_layer{}", i), h);
  }
  return dropout.apply(final_norm_.forward(h), "output");
}

void T5Encoder::visit_linears(const nn::LinearVisitor& visit) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    const auto name = [&](const char* rest) { return block_path(static_cast<int64_t>(i), rest); };
    visit(name("0.SelfAttention.q"), block.q);
    visit(name("0.SelfAttention.k"), block.k);
    visit(name("0.SelfAttention.v"), block.v);
    visit(name("0.SelfAttention.o"), block.o);
    visit(name("1.DenseReluDense.wi_0"), block.wi_0);
    visit(name("1.DenseReluDense.wi_1"), block.wi_1);
    visit(name("1.DenseReluDense.wo"), block.wo);
  }
}

}  // namespace loraptor::models
