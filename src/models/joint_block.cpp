#include "models/joint_block.h"

#include "kernels/attention.h"
#include "kernels/gated_residual.h"
#include "kernels/layer_norm_modulate.h"
#include "models/load_linear.h"

namespace loraptor::models {
namespace {

using kernels::gated_residual;

constexpr double kLayerNormEps = 1e-6;

at::Tensor norm_weight(const PartReader& reader, const std::string& name, const Sd3Variant& variant) {
  if (!variant.qk_norm) return {};
  return reader.as(at::kFloat).get(name, {kHeadSize});
}

std::optional<nn::GeluMlp> load_mlp(const PartReader& reader, const std::string& name, int64_t width) {
  return nn::GeluMlp{load_linear(reader, name + ".fc1", kMlpRatio * width, width),
                     load_linear(reader, name + ".fc2", width, kMlpRatio * width)};
}

// What the Linear `layer` reads: normalised, modulated tokens in its dtype.
at::Tensor modulated(const at::Tensor& tokens, const at::Tensor& shift, const at::Tensor& scale,
                     const nn::Linear& layer) {
  return kernels::layer_norm_modulate(tokens, shift, scale, kLayerNormEps, layer.compute_dtype());
}

at::Tensor add_mlp(const at::Tensor& tokens, const nn::GeluMlp& mlp, const std::vector<at::Tensor>& mod) {
  return gated_residual(tokens, mod[5], mlp.forward(modulated(tokens, mod[3], mod[4], mlp.fc1)));
}

// Calls visit(path, layer) for the layers of a side in the order of the checkpoint.
template <class Side, class Visit>
void each_linear(Side& side, const std::string& prefix, const Visit& visit) {
  visit(prefix + ".attn.qkv", side.attn.qkv);
  if (side.attn.proj) visit(prefix + ".attn.proj", *side.attn.proj);
  if (side.attn2) {
    visit(prefix + ".attn2.qkv", side.attn2->qkv);
    visit(prefix + ".attn2.proj", *side.attn2->proj);
  }
  if (side.mlp) {
    visit(prefix + ".mlp.fc1", side.mlp->fc1);
    visit(prefix + ".mlp.fc2", side.mlp->fc2);
  }
  visit(prefix + ".adaLN_modulation.1", side.modulation);
}

}  // namespace

AttentionLayers::AttentionLayers(const PartReader& reader, const std::string& name, const Sd3Variant& variant,
                                 bool with_proj)
    : qkv(load_linear(reader, name + ".qkv", 3 * variant.width, variant.width)),
      ln_q(norm_weight(reader, name + ".ln_q.weight", variant)),
      ln_k(norm_weight(reader, name + ".ln_k.weight", variant)) {
  if (with_proj) proj = load_linear(reader, name + ".proj", variant.width, variant.width);
}

BlockSide::BlockSide(const PartReader& reader, const std::string& name, const Sd3Variant& variant, bool pre_only,
                     bool dual)
    : attn(reader, name + ".attn", variant, !pre_only),
      modulation(load_linear(reader, name + ".adaLN_modulation.1",
                             (pre_only ? 2
                              : dual   ? 9
                                       : 6) *
                                 variant.width,
                             variant.width)) {
  if (dual) attn2.emplace(reader, name + ".attn2", variant, true);
  if (!pre_only) mlp = load_mlp(reader, name + ".mlp", variant.width);
}

JointBlock::JointBlock(const PartReader& reader, int64_t index, const Sd3Variant& variant, bool attn2_compat)
    : heads_(variant.heads),
      attn2_compat_(attn2_compat),
      context_(reader, fmt::format("joint_blocks.{}.context_block", index), variant, index + 1 == variant.depth, false),
      x_(reader, fmt::format("joint_blocks.{}.x_block", index), variant, false, variant.dual_blocks.contains(index)) {}

Streams JointBlock::forward(const Streams& in, const at::Tensor& condition) const {
  // [B,kD] -> k x [B,D]: shift1, scale1, gate1, shift2, scale2, gate2 (attention, MLP); dual: shift3, scale3, gate3
  const auto mod_c = context_.modulation.forward(condition).chunk(is_last() ? 2 : 6, 1);
  const auto mod_x = x_.modulation.forward(condition).chunk(x_.attn2 ? 9 : 6, 1);

  const auto heads =
      kernels::split_heads({context_.attn.source(modulated(in.context, mod_c[0], mod_c[1], context_.attn.qkv)),
                            x_.attn.source(modulated(in.x, mod_x[0], mod_x[1], x_.attn.qkv))},
                           heads_);
  const auto attended = kernels::attention(heads.q, heads.k, heads.v);
  // [B,T+N,D] -> [B,T,D], [B,N,D]; in the last block only the image attends
  const int64_t text_tokens = is_last() ? 0 : in.context.size(1);
  const auto sides = attended.split_with_sizes({text_tokens, in.x.size(1)}, 1);

  Streams out;
  out.x = gated_residual(in.x, mod_x[2], x_.attn.proj->forward(sides[1]));
  if (x_.attn2) {
    const auto branch = second_attention(modulated(in.x, mod_x[6], mod_x[7], x_.attn2->qkv));
    out.x = gated_residual(out.x, mod_x[8], branch);
  }
  out.x = add_mlp(out.x, *x_.mlp, mod_x);
  if (!is_last()) {
    out.context = gated_residual(in.context, mod_c[2], context_.attn.proj->forward(sides[0]));
    out.context = add_mlp(out.context, *context_.mlp, mod_c);
  }
  return out;
}

at::Tensor JointBlock::second_attention(const at::Tensor& x) const {
  auto heads = kernels::split_heads({x_.attn2->source(x)}, heads_);
  if (attn2_compat_) {
    // The reference hands the number of heads where the head size is asked for.
    const auto regroup = [this](const at::Tensor& t) {
      const int64_t batch = t.size(0), tokens = t.size(2);
      return t.transpose(1, 2).reshape({batch, tokens, kHeadSize, heads_}).transpose(1, 2);  // -> [B,64,N,D/64]
    };
    heads = {regroup(heads.q), regroup(heads.k), regroup(heads.v)};
  }
  return x_.attn2->proj->forward(kernels::attention(heads.q, heads.k, heads.v));
}

void JointBlock::visit_linears(const std::string& prefix, const nn::LinearVisitor& visit) {
  each_linear(context_, prefix + ".context_block", visit);
  each_linear(x_, prefix + ".x_block", visit);
}

void JointBlock::move_norms_to(at::Device device) {
  const auto move = [&](AttentionLayers& attention) {
    for (auto* weight : {&attention.ln_q, &attention.ln_k}) {
      if (weight->defined()) *weight = weight->to(device);
    }
  };
  for (auto* side : {&context_, &x_}) {
    move(side->attn);
    if (side->attn2) move(*side->attn2);
  }
}

std::vector<at::Tensor> JointBlock::parameters() const {
  std::vector<at::Tensor> found;
  const auto collect = [&found](const std::string&, const nn::Linear& layer) {
    if (layer.adapter() == nullptr) return;
    for (auto& parameter : layer.adapter()->parameters()) found.push_back(std::move(parameter));
  };
  each_linear(context_, "", collect);
  each_linear(x_, "", collect);
  return found;
}

}  // namespace loraptor::models
