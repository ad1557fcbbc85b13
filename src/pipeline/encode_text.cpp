#include "pipeline/encode_text.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::pipeline {
namespace {

constexpr int64_t kClipLength = 77;

struct IdsAndMask {
  at::Tensor ids, mask;  // int64 [B,length]
};

IdsAndMask tokenize_all(const text::Tokenizer& tokenizer, const char* encoder, int64_t length,
                        const std::vector<std::string>& captions) {
  const int64_t count = static_cast<int64_t>(captions.size());
  IdsAndMask result{at::empty({count, length}, at::kLong), at::empty({count, length}, at::kLong)};
  int64_t* ids = result.ids.mutable_data_ptr<int64_t>();
  int64_t* mask = result.mask.mutable_data_ptr<int64_t>();
  for (const auto& caption : captions) {
    const text::Tokens tokens = tokenizer.tokenize(caption, length);
    LORAPTOR_ASSERT(static_cast<int64_t>(tokens.ids.size()) == length);
    ids = std::copy(tokens.ids.begin(), tokens.ids.end(), ids);
    mask = std::copy(tokens.mask.begin(), tokens.mask.end(), mask);
    if (tokens.dropped > 0) {
      log::warn_once(fmt::format("[{}] some captions are longer than {} tokens; what is beyond is not seen by it.",
                                 encoder, length));
    }
  }
  return result;
}

template <class Encoder>
Encoder& loaded(std::optional<Encoder>& encoder) {
  LORAPTOR_ASSERT(encoder.has_value());
  return *encoder;
}

}  // namespace

TextEncoding::TextEncoding(text::Tokenizers tokenizers, const TextEncodingOptions& options)
    : tokenizers_(std::move(tokenizers)), options_(options) {}

void TextEncoding::load_clip(const models::ModelFiles& files, const models::LoadOptions& options) {
  clip_l_.emplace(files.part(models::Part::clip_l, options));
  clip_g_.emplace(files.part(models::Part::clip_g, options));
}

void TextEncoding::load_t5(const models::ModelFiles& files, const models::LoadOptions& options) {
  t5_.emplace(files.part(models::Part::t5xxl, options));
}

void TextEncoding::release_clip() {
  clip_l_.reset();
  clip_g_.reset();
}

void TextEncoding::release_t5() { t5_.reset(); }

models::ClipText& TextEncoding::clip_l() { return loaded(clip_l_); }
models::ClipText& TextEncoding::clip_g() { return loaded(clip_g_); }
models::T5Encoder& TextEncoding::t5() { return loaded(t5_); }

TokenBatch TextEncoding::tokenize(const std::vector<std::string>& captions) const {
  const auto l = tokenize_all(*tokenizers_.clip_l, "clip_l", kClipLength, captions);
  const auto g = tokenize_all(*tokenizers_.clip_g, "clip_g", kClipLength, captions);
  const auto t5 = tokenize_all(*tokenizers_.t5, "t5xxl", options_.t5_length, captions);
  return {l.ids, l.mask, g.ids, g.mask, t5.ids, t5.mask};
}

models::TextOutputs TextEncoding::encode(const TokenBatch& tokens, bool with_grad,
                                         const models::ActivationDropout& t5_dropout) const {
  const at::AutoGradMode grad_mode(with_grad);
  const auto mask = [](bool use, const at::Tensor& value) { return use ? std::optional(value) : std::nullopt; };
  models::TextOutputs outputs;
  if (clip_l_) {
    const auto l = clip_l_->forward(tokens.l_ids, mask(options_.mask_clip, tokens.l_mask));
    const auto g = clip_g_->forward(tokens.g_ids, mask(options_.mask_clip, tokens.g_mask));
    outputs.lg_out = at::cat({l.hidden, g.hidden}, 2);     // [B,77,L], [B,77,G] -> [B,77,L+G]
    outputs.lg_pooled = at::cat({l.pooled, g.pooled}, 1);  // [B,L], [B,G] -> [B,L+G]
  }
  if (t5_) outputs.t5_out = t5_->forward(tokens.t5_ids, mask(options_.mask_t5, tokens.t5_mask), {}, t5_dropout);
  return outputs;
}

models::TextOutputs TextEncoding::encode(const std::vector<std::string>& captions, bool with_grad,
                                         const models::ActivationDropout& t5_dropout) const {
  return encode(tokenize(captions), with_grad, t5_dropout);
}

}  // namespace loraptor::pipeline
