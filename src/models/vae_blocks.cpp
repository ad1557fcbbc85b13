#include "models/vae_blocks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/suggest.h"

namespace loraptor::models {
namespace {

constexpr int64_t kGroups = 32;
constexpr double kGroupNormEps = 1e-6;
constexpr size_t kNamesShown = 6;

std::string list_text(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamesShown);
  const std::string rest = names.size() > shown ? fmt::format(" and {} more", names.size() - shown) : "";
  return fmt::format("'{}'{}", fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), "', '"), rest);
}

}  // namespace

at::Tensor VaeLoader::get(const std::string& name, at::IntArrayRef shape) {
  asked_.push_back(name);
  if (!reader_.has(name)) {
    missing_.push_back(name);
    return {};
  }
  const auto value = reader_.get(name, shape);
  return value.dim() == 4 ? value.contiguous(at::MemoryFormat::ChannelsLast) : value;
}

void VaeLoader::finish() const {
  std::vector<std::string> asked = asked_, unexpected;
  std::sort(asked.begin(), asked.end());
  for (const auto& name : reader_.names()) {
    if (!std::binary_search(asked.begin(), asked.end(), name)) unexpected.push_back(name);
  }
  if (missing_.empty() && unexpected.empty()) return;
  const std::string lacks = missing_.empty() ? "none missing" : "missing " + list_text(missing_);
  const std::string extra = unexpected.empty() ? "none unexpected" : "unexpected " + list_text(unexpected);
  throw FileError(reader_.path(),
                  fmt::format("{}: this is not the VAE of SD3: got {}, {}; expected exactly {} tensors.",
                              reader_.part(), lacks, extra, asked.size()));
}

VaeConv::VaeConv(VaeLoader& loader, const std::string& name, int64_t out, int64_t in, int64_t kernel)
    : weight(loader.get(name + ".weight", {out, in, kernel, kernel})), bias(loader.get(name + ".bias", {out})) {}

at::Tensor VaeConv::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, /*stride=*/1, /*padding=*/weight.size(2) / 2);
}

at::Tensor VaeConv::forward_halving(const at::Tensor& x) const {
  return at::conv2d(at::constant_pad_nd(x, {0, 1, 0, 1}), weight, bias, /*stride=*/2);
}

VaeNorm::VaeNorm(VaeLoader& loader, const std::string& name, int64_t channels)
    : weight(loader.get(name + ".weight", {channels})), bias(loader.get(name + ".bias", {channels})) {}

at::Tensor VaeNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, kGroups, weight, bias, kGroupNormEps);
}

at::Tensor VaeNorm::forward_silu(const at::Tensor& x) const {
  auto normed = forward(x);
  return at::silu_(normed);
}

VaeResBlock::VaeResBlock(VaeLoader& loader, const std::string& name, int64_t in, int64_t out)
    : norm1(loader, name + ".norm1", in),
      norm2(loader, name + ".norm2", out),
      conv1(loader, name + ".conv1", out, in),
      conv2(loader, name + ".conv2", out, out) {
  if (in != out) shortcut = VaeConv(loader, name + ".nin_shortcut", out, in, 1);
}

at::Tensor VaeResBlock::forward(const at::Tensor& x) const {
  auto h = conv1.forward(norm1.forward_silu(x));
  h = conv2.forward(norm2.forward_silu(h));
  return h.add_(shortcut.weight.defined() ? shortcut.forward(x) : x);
}

VaeAttention::VaeAttention(VaeLoader& loader, const std::string& name, int64_t channels)
    : norm(loader, name + ".norm", channels),
      q(loader, name + ".q", channels, channels, 1),
      k(loader, name + ".k", channels, channels, 1),
      v(loader, name + ".v", channels, channels, 1),
      proj_out(loader, name + ".proj_out", channels, channels, 1) {}

at::Tensor VaeAttention::forward(const at::Tensor& x) const {
  const auto h = norm.forward(x);
  const auto tokens = [](const at::Tensor& y) {
    return y.flatten(2).transpose(1, 2).unsqueeze(1);
  };  // [B,C,H,W] -> [B,1,N,C]
  const auto out = at::scaled_dot_product_attention(tokens(q.forward(h)), tokens(k.forward(h)), tokens(v.forward(h)));
  const auto back = out.squeeze(1).transpose(1, 2).view_as(x);  // [B,1,N,C] -> [B,C,H,W]
  return proj_out.forward(back).add_(x);
}

}  // namespace loraptor::models
