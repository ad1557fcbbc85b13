// The repairs that CLIP's tokenizer makes to a caption before it splits it into tokens.
#pragma once

#include <string>
#include <string_view>

namespace loraptor::text {

/// Mends accidents of copying: HTML references become letters (in lines up to the first one with a `<`), Latin
/// ligatures and full- or half-width forms become plain letters, curly quotes straight ones, all line breaks \n;
/// terminal escapes, control characters and U+FEFF go; the result is in normal form C.
///
/// Text that was decoded with the wrong encoding ("cafÃ©") is left as it is, unlike in the reference.
/// Source: ftfy 6.3 `fix_text` without `fix_encoding`, as called by transformers' CLIPTokenizer.
std::u32string fix_text(std::u32string_view text);

/// What CLIP's byte pair encoding reads: `fix_text`, runs of white space to one blank, stripped, lower case.
/// Source: transformers models/clip/tokenization_clip.py:CLIPTokenizer._tokenize.
std::string clean_clip_text(std::u32string_view text);

}  // namespace loraptor::text
