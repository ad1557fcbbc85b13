#include "models/vae.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <array>

#include "base/error.h"
#include "nn/weight_storage.h"

namespace loraptor::models {
namespace {

constexpr std::array<int64_t, 4> kWidths = {1, 2, 4, 4};  // of each level, times the first convolution's channels
constexpr int64_t kTop = static_cast<int64_t>(kWidths.size()) - 1;
constexpr int kEncoderBlocks = 2, kDecoderBlocks = 3;  // of each level
constexpr int64_t kLatent = 16;
constexpr int64_t kFactor = 8;
constexpr double kShift = 0.0609, kScale = 1.5305;
constexpr const char* kFirst = "encoder.conv_in.weight";

void note(const ActivationTrace& trace, const std::string& name, const at::Tensor& value) {
  if (trace) trace(name, value);
}

}  // namespace

Vae::Vae(const PartReader& stored) {
  const auto& options = stored.options();
  const auto reader =
      stored.as(nn::fast_compute_dtype(at::empty({0}, at::dtype(options.dtype).device(options.device))));
  const auto& first = reader.shape(kFirst);
  if (first.empty() || first[0] % 32 != 0) {
    throw FileError(reader.path(),
                    fmt::format("{}: tensor '{}' has the wrong shape: got {} channels, expected a multiple "
                                "of 32.",
                                reader.part(), kFirst, first.empty() ? 0 : first[0]));
  }
  VaeLoader loader(reader);
  build_encoder(loader, first[0]);
  build_decoder(loader, first[0]);
  loader.finish();
}

void Vae::build_encoder(VaeLoader& loader, int64_t channels) {
  enc_conv_in_ = VaeConv(loader, "encoder.conv_in", channels, 3);
  int64_t width = channels;
  for (int64_t l = 0; l <= kTop; ++l) {
    const std::string name = fmt::format("encoder.down.{}.", l);
    Level level;
    for (int b = 0; b < kEncoderBlocks; ++b) {
      level.blocks.emplace_back(loader, fmt::format("{}block.{}", name, b), width, channels * kWidths[l]);
      width = channels * kWidths[l];
    }
    if (l != kTop) level.resample = VaeConv(loader, name + "downsample.conv", width, width);
    enc_levels_.push_back(std::move(level));
  }
  enc_mid_ = Middle{{loader, "encoder.mid.block_1", width, width},
                    {loader, "encoder.mid.attn_1", width},
                    {loader, "encoder.mid.block_2", width, width}};
  enc_norm_out_ = VaeNorm(loader, "encoder.norm_out", width);
  enc_conv_out_ = VaeConv(loader, "encoder.conv_out", 2 * kLatent, width);
}

void Vae::build_decoder(VaeLoader& loader, int64_t channels) {
  int64_t width = channels * kWidths[kTop];
  dec_conv_in_ = VaeConv(loader, "decoder.conv_in", width, kLatent);
  dec_mid_ = Middle{{loader, "decoder.mid.block_1", width, width},
                    {loader, "decoder.mid.attn_1", width},
                    {loader, "decoder.mid.block_2", width, width}};
  dec_levels_.resize(kWidths.size());
  for (int64_t l = kTop; l >= 0; --l) {
    const std::string name = fmt::format("decoder.up.{}.", l);
    for (int b = 0; b < kDecoderBlocks; ++b) {
      dec_levels_[l].blocks.emplace_back(loader, fmt::format("{}block.{}", name, b), width, channels * kWidths[l]);
      width = channels * kWidths[l];
    }
    if (l != 0) dec_levels_[l].resample = VaeConv(loader, name + "upsample.conv", width, width);
  }
  dec_norm_out_ = VaeNorm(loader, "decoder.norm_out", width);
  dec_conv_out_ = VaeConv(loader, "decoder.conv_out", 3, width);
}

at::Tensor Vae::encode(const at::Tensor& pixels, const ActivationTrace& trace) const {
  LORAPTOR_ASSERT(pixels.dim() == 4 && pixels.size(2) % kFactor == 0 && pixels.size(3) % kFactor == 0);
  const at::NoGradGuard no_grad;
  auto h = enc_conv_in_.forward(pixels.to(device(), dtype()).contiguous(at::MemoryFormat::ChannelsLast));
  note(trace, "enc.conv_in", h);
  for (size_t l = 0; l < enc_levels_.size(); ++l) {
    for (const auto& block : enc_levels_[l].blocks) h = block.forward(h);
    note(trace, fmt::format("enc.down{}.blocks", l), h);
    if (!enc_levels_[l].resample) continue;
    h = enc_levels_[l].resample->forward_halving(h);
    note(trace, fmt::format("enc.down{}.downsample", l), h);
  }
  h = enc_mid_->attention.forward(enc_mid_->block_1.forward(h));
  note(trace, "enc.mid.attn", h);
  h = enc_mid_->block_2.forward(h);
  note(trace, "enc.mid", h);
  return enc_conv_out_.forward(enc_norm_out_.forward_silu(h)).contiguous();
}

at::Tensor Vae::decode(const at::Tensor& latents, const ActivationTrace& trace) const {
  LORAPTOR_ASSERT(latents.dim() == 4 && latents.size(1) == kLatent);
  const at::NoGradGuard no_grad;
  auto h = dec_conv_in_.forward(latents.to(device(), dtype()).contiguous(at::MemoryFormat::ChannelsLast));
  note(trace, "dec.conv_in", h);
  h = dec_mid_->block_2.forward(dec_mid_->attention.forward(dec_mid_->block_1.forward(h)));
  note(trace, "dec.mid", h);
  for (size_t l = dec_levels_.size(); l-- > 0;) {
    for (const auto& block : dec_levels_[l].blocks) h = block.forward(h);
    note(trace, fmt::format("dec.up{}.blocks", l), h);
    if (!dec_levels_[l].resample) continue;
    h = at::upsample_nearest2d(h, {2 * h.size(2), 2 * h.size(3)});
    h = dec_levels_[l].resample->forward(h);
  }
  return dec_conv_out_.forward(dec_norm_out_.forward_silu(h)).contiguous();
}

at::Tensor sample_posterior(const at::Tensor& moments, const at::Tensor& noise) {
  const auto parts = moments.to(at::kFloat).chunk(2, 1);  // [B,2C,h,w] -> 2 x [B,C,h,w]
  return parts[0] + parts[1].clamp(-30, 20).mul(0.5).exp() * noise.to(moments.device(), at::kFloat);
}

at::Tensor process_in(const at::Tensor& latents) { return (latents - kShift) * kScale; }

at::Tensor process_out(const at::Tensor& latents) { return latents / kScale + kShift; }

}  // namespace loraptor::models
