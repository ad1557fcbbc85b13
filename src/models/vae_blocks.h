// The layers that the VAE is built of.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "models/checkpoint_reader.h"

namespace loraptor::models {

/// Hands out the VAE's tensors and remembers what was asked for, so that in the end missing and surplus tensors can be
/// named together. Convolution weights are kept in channels-last order.
class VaeLoader {
 public:
  explicit VaeLoader(const PartReader& reader) : reader_(reader) {}

  /// The tensor, or an undefined one if it is missing. Throws FileError if its shape differs.
  at::Tensor get(const std::string& name, at::IntArrayRef shape);

  /// Throws FileError naming every missing and every unexpected tensor.
  void finish() const;

 private:
  const PartReader& reader_;
  std::vector<std::string> asked_, missing_;
};

/// A convolution with padding that keeps the size (kernels 1 and 3), or halves it: then one zero is added at the right
/// and at the bottom and the stride is 2.
struct VaeConv {
  at::Tensor weight, bias;

  VaeConv() = default;
  VaeConv(VaeLoader& loader, const std::string& name, int64_t out, int64_t in, int64_t kernel = 3);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor forward_halving(const at::Tensor& x) const;
};

/// GroupNorm over 32 groups, eps 1e-6; its statistics are float32 in every dtype.
struct VaeNorm {
  at::Tensor weight, bias;

  VaeNorm() = default;
  VaeNorm(VaeLoader& loader, const std::string& name, int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;
  /// The norm followed by SiLU.
  at::Tensor forward_silu(const at::Tensor& x) const;
};

/// x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution on x where the channels change.
struct VaeResBlock {
  VaeNorm norm1, norm2;
  VaeConv conv1, conv2, shortcut;

  VaeResBlock(VaeLoader& loader, const std::string& name, int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x) const;
};

/// x + attention of one head over all places.
struct VaeAttention {
  VaeNorm norm;
  VaeConv q, k, v, proj_out;

  VaeAttention(VaeLoader& loader, const std::string& name, int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;
};

}  // namespace loraptor::models
