// Cutting and padding, the same for every tokenizer.
#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"

namespace loraptor::text {

Tokens Tokenizer::tokenize(std::string_view text, int64_t length) const {
  LORAPTOR_ASSERT(length >= 2);
  Tokens tokens;
  tokens.ids = encode(text);
  const int64_t count = static_cast<int64_t>(tokens.ids.size());
  const int64_t kept = std::min(count, length);
  tokens.dropped = count - kept;
  if (kept < count) tokens.ids[kept - 1] = tokens.ids.back();
  tokens.ids.resize(kept);
  tokens.ids.resize(length, padding_id());
  tokens.mask.assign(kept, 1);
  tokens.mask.resize(length, 0);
  return tokens;
}

}  // namespace loraptor::text
