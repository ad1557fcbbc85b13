// T5's tokenizer: a SentencePiece unigram model, plus the special tokens that a caption may spell out.
#pragma once

#include <filesystem>
#include <memory>

#include "text/tokenizer.h"

namespace loraptor::text {

/// Reads `spiece.model`, or a `tokenizer.json` of the Hugging Face tokenizers library (told apart by the name's
/// ending).
/// `</s>`, `<pad>`, `<unk>` and `<extra_id_0>` to `<extra_id_99>` inside a caption count as these tokens.
/// Throws FileError if the file is missing or is not such a model.
/// Source: transformers models/t5/tokenization_t5_fast.py; sd-scripts@48d368f library/strategy_sd3.py.
std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::filesystem::path& file);

/// The SentencePiece model, as spiece.model would hold it, that a `tokenizer.json` describes. Throws FileError.
std::string sentencepiece_model_from_json(const std::filesystem::path& tokenizer_json);

}  // namespace loraptor::text
