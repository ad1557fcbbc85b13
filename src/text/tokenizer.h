// What a text encoder reads: a caption as a list of token ids, with a mask that tells tokens from padding.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace loraptor::text {

/// A caption cut and padded to the length that an encoder takes.
struct Tokens {
  std::vector<int64_t> ids;   // [length]
  std::vector<int64_t> mask;  // [length]: 1 for tokens, start and end tokens included, 0 for padding
  int64_t dropped = 0;        // tokens that did not fit; > 0 means the end of the caption is not seen by the encoder
};

/// Turns captions into ids. Implementations may be used by several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Returns all ids of `text` (UTF-8; invalid bytes count as U+FFFD), start and end tokens included, neither cut nor
  /// padded. The last id is always the end token.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;

  /// The id that fills up short captions.
  virtual int64_t padding_id() const = 0;

  /// Cuts and pads `encode(text)` to exactly `length` ids. Cutting keeps the start of the text; the end token follows
  /// the last kept token.
  ///   length   >= 2; 77 for the CLIP encoders, --t5xxl_max_token_length (256) for T5
  /// Source: sd-scripts@48d368f library/strategy_sd3.py:Sd3TokenizeStrategy.
  Tokens tokenize(std::string_view text, int64_t length) const;
};

}  // namespace loraptor::text
