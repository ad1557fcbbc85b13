// CLIP's tokenizer: byte pair encoding of cleaned, lower-case text.
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"

namespace loraptor::text {

/// Vocabulary and merge rules, shared by the tokenizers of CLIP-L and CLIP-G, which differ in the padding only.
class ClipVocabulary;

/// Reads `vocab.json` and `merges.txt`. Throws FileError if one is missing or is not such a vocabulary.
std::shared_ptr<const ClipVocabulary> read_clip_vocabulary(const std::filesystem::path& vocab_json,
                                                           const std::filesystem::path& merges_txt);

/// Reads a `tokenizer.json` of the Hugging Face tokenizers library. Throws FileError.
std::shared_ptr<const ClipVocabulary> read_clip_vocabulary(const std::filesystem::path& tokenizer_json);

/// What fills up short captions: CLIP-L takes the end token (49407), CLIP-G takes id 0.
enum class ClipPadding { end_token, zero };

/// A tokenizer over `vocabulary`. Captions are cleaned as text/text_fixes.h says; `<|startoftext|>` and `<|endoftext|>`
/// inside a caption count as these tokens, in any letter case.
/// Source: transformers models/clip/tokenization_clip.py; OpenAI CLIP simple_tokenizer.py.
std::unique_ptr<Tokenizer> make_clip_tokenizer(std::shared_ptr<const ClipVocabulary> vocabulary, ClipPadding padding);

}  // namespace loraptor::text
