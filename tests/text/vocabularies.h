// The installed vocabularies, read once for all tests.
#pragma once

#include "text/tokenizer_files.h"

namespace loraptor::test {

inline const text::Tokenizers& tokenizers() {
  static const text::Tokenizers loaded = text::load_tokenizers(text::default_tokenizer_search());
  return loaded;
}

}  // namespace loraptor::test
