// SentencePiece does the work; it does not know special tokens in captions, so these are cut out before.
#include "text/t5_unigram.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "text/unicode.h"

namespace loraptor::text {
namespace {

constexpr int64_t kExtraIds = 100;
constexpr std::string_view kNextLine = "\xC2\x85";  // U+0085

class T5Tokenizer : public Tokenizer {
 public:
  explicit T5Tokenizer(const std::filesystem::path& file) {
    const bool is_json = file.extension() == ".json";
    const auto status =
        pieces_.LoadFromSerializedProto(is_json ? sentencepiece_model_from_json(file) : read_file(file));
    if (!status.ok()) {
      throw FileError(file,
                      "T5 vocabulary: got something else (" + status.ToString() + "), expected a SentencePiece model.");
    }
    end_id_ = require_piece("</s>", file);
    padding_id_ = require_piece("<pad>", file);
  }

  std::vector<int64_t> encode(std::string_view raw) const override {
    const std::string valid = to_utf8(to_code_points(raw));
    std::string_view text = valid;
    std::vector<int64_t> ids;
    size_t plain = 0;  // bytes before the token that is looked for
    while (plain < text.size()) {
      const auto [id, length] = special_at(text.substr(plain));
      if (length == 0) {
        ++plain;
        continue;
      }
      encode_plain(text.substr(0, plain), ids);
      ids.push_back(id);
      text.remove_prefix(plain + length);
      plain = 0;
    }
    encode_plain(text, ids);
    ids.push_back(end_id_);
    return ids;
  }

  int64_t padding_id() const override { return padding_id_; }

 private:
  struct Special {
    int64_t id;
    size_t length;  // 0 if there is none
  };

  int64_t require_piece(std::string_view piece, const std::filesystem::path& file) const {
    const int id = pieces_.PieceToId(piece);
    if (id == pieces_.unk_id()) {
      throw FileError(file, "T5 vocabulary: got no token '" + std::string(piece) + "', expected one.");
    }
    return id;
  }

  Special special_at(std::string_view text) const {
    if (!text.starts_with('<')) return {0, 0};
    if (text.starts_with("</s>")) return {end_id_, 4};
    if (text.starts_with("<pad>")) return {padding_id_, 5};
    if (text.starts_with("<unk>")) return {pieces_.unk_id(), 5};
    constexpr std::string_view kExtra = "<extra_id_";
    if (!text.starts_with(kExtra)) return {0, 0};
    const std::string_view digits = text.substr(kExtra.size(), text.find('>') - kExtra.size());
    int64_t number = -1;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool spelled_right = digits == std::to_string(number);  // no leading zero, nothing after the number
    const size_t length = kExtra.size() + digits.size() + 1;
    if (!spelled_right || number < 0 || number >= kExtraIds || length > text.size()) return {0, 0};
    return {pieces_.GetPieceSize() + kExtraIds - 1 - number, length};  // they follow the pieces, last one first
  }

  void encode_plain(std::string_view text, std::vector<int64_t>& ids) const {
    // SentencePiece drops trailing blanks too, but takes a next-line character for an unknown letter.
    while (text.ends_with(kNextLine) || text.ends_with(' ')) text.remove_suffix(text.ends_with(' ') ? 1 : 2);
    if (text.empty()) return;
    std::vector<int> pieces;
    const auto status = pieces_.Encode(text, &pieces);
    LORAPTOR_ASSERT(status.ok());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  sentencepiece::SentencePieceProcessor pieces_;
  int64_t end_id_ = 1;
  int64_t padding_id_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> make_t5_tokenizer(const std::filesystem::path& file) {
  return std::make_unique<T5Tokenizer>(file);
}

}  // namespace loraptor::text
