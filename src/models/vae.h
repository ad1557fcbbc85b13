// The autoencoder between pixels and latents.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include "models/activation_trace.h"
#include "models/checkpoint_reader.h"
#include "models/vae_blocks.h"

namespace loraptor::models {

/// The SD3 VAE: 16 latent channels, factor 8, four levels of 1, 2, 4 and 4 times the channels of the first convolution.
/// It runs in the load dtype, or in float32 where the CPU is slow at that one (a 16-bit convolution then takes many
/// times as long). It is never trained, so no graph is recorded.
/// Ref: arXiv:2112.10752, arXiv:2403.03206 §2.1; sd-scripts@48d368f library/sd3_models.py:SDVAE.
class Vae {
 public:
  /// Throws FileError naming all missing and unexpected tensors, or one of wrong shape.
  explicit Vae(const PartReader& stored);

  /// pixels  [B,3,H,W] in -1..1, any float dtype, H and W multiples of 8
  /// trace   enc.conv_in, enc.down<l>.blocks, enc.down<l>.downsample, enc.mid.attn, enc.mid
  /// Returns the moments [B,32,H/8,W/8] in `dtype()`: means and log-variances.
  at::Tensor encode(const at::Tensor& pixels, const ActivationTrace& trace = {}) const;

  /// latents [B,16,h,w], unscaled, any float dtype
  /// trace   dec.conv_in, dec.mid, dec.up<l>.blocks
  /// Returns pixels [B,3,8h,8w] in `dtype()`, about -1..1, not clamped.
  at::Tensor decode(const at::Tensor& latents, const ActivationTrace& trace = {}) const;

  /// What it computes in.
  at::ScalarType dtype() const { return enc_conv_in_.weight.scalar_type(); }
  at::Device device() const { return enc_conv_in_.weight.device(); }

 private:
  struct Level {
    std::vector<VaeResBlock> blocks;
    std::optional<VaeConv> resample;  // halving in the encoder, after doubling in the decoder
  };
  struct Middle {
    VaeResBlock block_1;
    VaeAttention attention;
    VaeResBlock block_2;
  };

  void build_encoder(VaeLoader& loader, int64_t channels);
  void build_decoder(VaeLoader& loader, int64_t channels);

  VaeConv enc_conv_in_, enc_conv_out_, dec_conv_in_, dec_conv_out_;
  VaeNorm enc_norm_out_, dec_norm_out_;
  std::vector<Level> enc_levels_, dec_levels_;  // index = level: 0 has the full size
  std::optional<Middle> enc_mid_, dec_mid_;
};

/// mean + exp(logvar / 2) * noise, with log-variances limited to [-30, 20].
///   moments   [B,2C,h,w], any float dtype
///   noise     [B,C,h,w], any device
/// Returns float32 [B,C,h,w].
/// Ref: arXiv:1312.6114 §2.4; sd-scripts@48d368f library/sd3_models.py:SDVAE.encode.
at::Tensor sample_posterior(const at::Tensor& moments, const at::Tensor& noise);

/// Raw latents -> latents as the diffusion transformer sees them: (z - 0.0609) * 1.5305; and back.
/// Ref: sd-scripts@48d368f library/sd3_models.py:SDVAE.process_in, process_out.
at::Tensor process_in(const at::Tensor& latents);
at::Tensor process_out(const at::Tensor& latents);

}  // namespace loraptor::models
