#include "models/mmdit.h"

#include <algorithm>

#include "base/error.h"
#include "models/load_linear.h"
#include "nn/patch_embed.h"
#include "nn/timestep_embedding.h"

namespace loraptor::models {
namespace {

nn::SiluMlp load_embedder(const PartReader& reader, const std::string& name, int64_t width, int64_t in) {
  return {load_linear(reader, name + ".mlp.0", width, in), load_linear(reader, name + ".mlp.2", width, width)};
}

nn::Linear load_patch_layer(const PartReader& reader, const Sd3Variant& v) {
  return nn::Linear(reader.get("x_embedder.proj.weight", {v.width, kLatentChannels, v.patch, v.patch}),
                    reader.get("x_embedder.proj.bias", {v.width}));
}

// The table is large and a run uses a small window of it: it stays in the file, in the file's dtype.
at::Tensor load_positions(const PartReader& reader, const Sd3Variant& v) {
  return reader.as(reader.stored_dtype("pos_embed"), at::kCPU).get("pos_embed", {1, v.pos_side * v.pos_side, v.width});
}

std::vector<JointBlock> load_blocks(const PartReader& reader, const Sd3Variant& variant, const MMDiTOptions& options) {
  std::vector<JointBlock> blocks;
  blocks.reserve(static_cast<size_t>(variant.depth));
  for (int64_t i = 0; i < variant.depth; ++i) blocks.emplace_back(reader, i, variant, options.attn2_compat);
  return blocks;
}

}  // namespace

MMDiT::MMDiT(const PartReader& reader, const MMDiTOptions& options)
    : variant_(detect_variant(reader)),
      x_embedder_(load_patch_layer(reader, variant_)),
      context_embedder_(load_linear(reader, "context_embedder", variant_.width, variant_.context_width)),
      t_embedder_(load_embedder(reader, "t_embedder", variant_.width, kTimestepChannels)),
      y_embedder_(load_embedder(reader, "y_embedder", variant_.width, variant_.pooled_width)),
      position_table_(load_positions(reader, variant_)),
      blocks_(load_blocks(reader, variant_, options)),
      final_layer_(reader, variant_) {}

at::Tensor MMDiT::forward(const MMDiTInput& input, memory::BlockRunner& runner, const ActivationTrace* trace) const {
  const ActivationTrace report = trace != nullptr ? *trace : [](const std::string&, const at::Tensor&) {};
  LORAPTOR_ASSERT(input.x.dim() == 4 && input.x.size(1) == kLatentChannels);
  const int64_t height = input.x.size(2), width = input.x.size(3);
  if (height % variant_.patch != 0 || width % variant_.patch != 0) {
    throw UsageError(
        fmt::format("[MMDiT] latent size: got {} x {}, expected multiples of {} (16 px).\nHint: bucket "
                    "sizes and image sizes must be multiples of 16.",
                    width, height, variant_.patch));
  }
  const auto condition = embed_condition(input, report);
  const auto context = context_embedder_.forward(input.context);
  report("context_emb", context);
  Streams streams{embed_image(input, report), context.to(at::kFloat)};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto& skipped = input.skipped;
    if (std::find(skipped.begin(), skipped.end(), static_cast<int64_t>(i)) != skipped.end()) continue;
    streams = run_block(i, streams, condition, runner);
    report(fmt::format("block{}.x", i), streams.x);
    if (streams.context.defined()) report(fmt::format("block{}.context", i), streams.context);
  }
  const auto values = final_layer_.forward(streams.x, condition);
  auto velocity = nn::unpatchify(values.to(at::kFloat), variant_.patch, height, width);
  report("final", velocity);
  return velocity;
}

at::Tensor MMDiT::embed_condition(const MMDiTInput& input, const ActivationTrace& trace) const {
  const auto sincos = nn::timestep_sincos(input.timesteps, kTimestepChannels);
  const auto t = t_embedder_.forward(sincos), y = y_embedder_.forward(input.pooled);
  trace("temb_sincos", sincos);
  trace("t_emb", t);
  trace("y_emb", y);
  // Every modulation layer begins with this SiLU, so it is computed once.
  return at::silu(t.to(at::kFloat) + y.to(at::kFloat));
}

at::Tensor MMDiT::embed_image(const MMDiTInput& input, const ActivationTrace& trace) const {
  const auto tokens = x_embedder_.forward(nn::patchify(input.x, variant_.patch));
  const auto window = positions(input.x.size(2) / variant_.patch, input.x.size(3) / variant_.patch, input.crop);
  trace("x_patch", tokens);
  trace("pos", window);
  return tokens.to(at::kFloat) + window.to(tokens.device());  // [B,N,D] + [1,N,D]
}

Streams MMDiT::run_block(size_t index, const Streams& in, const at::Tensor& condition,
                         memory::BlockRunner& runner) const {
  const JointBlock& block = blocks_[index];
  memory::BlockCall call;
  call.index = static_cast<int64_t>(index);
  call.forward = [&block](const std::vector<at::Tensor>& tensors) -> std::vector<at::Tensor> {
    const auto out = block.forward({tensors[0], tensors[1]}, tensors[2]);
    if (!out.context.defined()) return {out.x};
    return {out.x, out.context};
  };
  call.inputs = {in.x, in.context, condition};
  call.parameters = block.parameters();
  const auto out = runner.run(call);
  return {out[0], out.size() > 1 ? out[1] : at::Tensor()};
}

at::Tensor MMDiT::positions(int64_t rows, int64_t columns, std::optional<PositionCrop> crop) const {
  if (scaled_positions_) return scaled_positions_->window(rows, columns, crop);
  return nn::position_window(position_table_, rows, columns, crop);
}

int64_t MMDiT::position_side(int64_t height, int64_t width) const {
  if (!scaled_positions_) return variant_.pos_side;
  return scaled_positions_->table_for(height / variant_.patch, width / variant_.patch).side;
}

void MMDiT::use_scaled_positions(nn::ScaledPositions positions) {
  scaled_positions_ = std::make_unique<nn::ScaledPositions>(std::move(positions));
}

void MMDiT::move_to(at::Device device, at::ScalarType compute,
                    const std::function<nn::WeightSource(const std::string& path, nn::Linear& layer)>& source_of) {
  visit_linears(
      [&](const std::string& path, nn::Linear& layer) { layer.move_to(device, compute, source_of(path, layer)); });
  for (auto& block : blocks_) block.move_norms_to(device);
}

void MMDiT::visit_linears(const nn::LinearVisitor& visit) {
  for (size_t i = 0; i < blocks_.size(); ++i) blocks_[i].visit_linears(fmt::format("joint_blocks.{}", i), visit);
  visit("context_embedder", context_embedder_);
  visit("t_embedder.mlp.0", t_embedder_.first);
  visit("t_embedder.mlp.2", t_embedder_.second);
  visit("x_embedder.proj", x_embedder_);
  visit("y_embedder.mlp.0", y_embedder_.first);
  visit("y_embedder.mlp.2", y_embedder_.second);
  final_layer_.visit_linears("final_layer", visit);
}

}  // namespace loraptor::models
