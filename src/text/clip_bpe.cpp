// Special tokens are cut out first, the rest is cleaned and split by CLIP's pattern.
#include "text/clip_bpe.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/error.h"
#include "text/clip_vocabulary.h"
#include "text/text_fixes.h"
#include "text/unicode.h"

namespace loraptor::text {
namespace {

/// The pattern of OpenAI's simple_tokenizer.py; \s is spelled out because PCRE2's also takes U+180E.
/// U+0345 is no letter but its capital is: Python's caseless matching takes it for neither and drops it.
constexpr std::string_view kSplitPattern =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|)"
    R"([^\t-\r\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{345}\p{L}\p{N}]+)";

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

class ClipTokenizer : public Tokenizer {
 public:
  ClipTokenizer(std::shared_ptr<const ClipVocabulary> vocabulary, ClipPadding padding)
      : vocabulary_(std::move(vocabulary)), padding_(padding) {
    int error = 0;
    size_t offset = 0;
    pattern_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kSplitPattern.data()), kSplitPattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS, &error, &offset, nullptr));
    LORAPTOR_ASSERT(pattern_ != nullptr);
    pcre2_jit_compile(pattern_.get(), PCRE2_JIT_COMPLETE);
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids = {vocabulary_->start_id()};
    while (!text.empty()) {
      const size_t start = text.find(kStartOfText);
      const size_t end = text.find(kEndOfText);
      const size_t cut = std::min({start, end, text.size()});
      encode_plain(text.substr(0, cut), ids);
      text.remove_prefix(cut);
      if (text.empty()) break;
      ids.push_back(start < end ? vocabulary_->start_id() : vocabulary_->end_id());
      text.remove_prefix(start < end ? kStartOfText.size() : kEndOfText.size());
    }
    ids.push_back(vocabulary_->end_id());
    return ids;
  }

  int64_t padding_id() const override { return padding_ == ClipPadding::zero ? 0 : vocabulary_->end_id(); }

 private:
  void encode_plain(std::string_view text, std::vector<int64_t>& ids) const {
    const std::string clean = clean_clip_text(to_code_points(text));
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(
        pcre2_match_data_create_from_pattern(pattern_.get(), nullptr));
    size_t at = 0;
    while (at < clean.size() && pcre2_match(pattern_.get(), reinterpret_cast<PCRE2_SPTR>(clean.data()), clean.size(),
                                            at, PCRE2_NO_UTF_CHECK, match.get(), nullptr) > 0) {
      const size_t* range = pcre2_get_ovector_pointer(match.get());
      const std::string_view word(clean.data() + range[0], range[1] - range[0]);
      // Written in capitals they get here, since only the exact spelling was cut out before lower-casing.
      if (word == kStartOfText || word == kEndOfText) {
        ids.push_back(word == kStartOfText ? vocabulary_->start_id() : vocabulary_->end_id());
      } else {
        vocabulary_->encode_word(word, ids);
      }
      at = range[1];
    }
  }

  std::shared_ptr<const ClipVocabulary> vocabulary_;
  ClipPadding padding_;
  std::unique_ptr<pcre2_code, FreeCode> pattern_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_clip_tokenizer(std::shared_ptr<const ClipVocabulary> vocabulary, ClipPadding padding) {
  return std::make_unique<ClipTokenizer>(std::move(vocabulary), padding);
}

}  // namespace loraptor::text
