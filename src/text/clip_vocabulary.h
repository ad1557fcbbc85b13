// The tables behind CLIP's byte pair encoding.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace loraptor::text {

class ClipVocabulary {
 public:
  using Ids = std::unordered_map<std::string, int32_t>;
  struct Merge {
    int32_t rank;  // lower ones are applied first
    int32_t id;    // of the joined token
  };

  /// ids    token text to id, in the byte alphabet of the file
  /// rules  lines "left right" in the order of their ranks
  /// source the file that errors name
  /// Throws FileError if bytes, special tokens or parts of a rule are missing.
  ClipVocabulary(const Ids& ids, const std::vector<std::string>& rules, const std::filesystem::path& source);

  /// Adds the ids of one word (UTF-8, a match of CLIP's split pattern) to `out`.
  void encode_word(std::string_view word, std::vector<int64_t>& out) const;

  int64_t start_id() const { return start_id_; }
  int64_t end_id() const { return end_id_; }

 private:
  const Merge* find_merge(int32_t left, int32_t right) const;

  std::array<int32_t, 256> inner_bytes_{};  // id of a byte inside a word
  std::array<int32_t, 256> last_bytes_{};   // id of a byte that ends a word
  std::unordered_map<uint64_t, Merge> merges_;
  int64_t start_id_ = 0;
  int64_t end_id_ = 0;
};

inline constexpr std::string_view kStartOfText = "<|startoftext|>";
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

}  // namespace loraptor::text
