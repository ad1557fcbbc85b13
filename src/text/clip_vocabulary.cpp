// Reading the two file forms and joining byte pairs.
#include "text/clip_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <queue>

#include "base/atomic_file.h"
#include "base/error.h"
#include "text/clip_bpe.h"
#include "text/unicode.h"

namespace loraptor::text {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kWordEnd = "</w>";

/// The printable letter by which the file writes a byte: itself if printable, else the next letter from U+0100 on.
std::array<std::string, 256> byte_letters() {
  std::array<std::string, 256> letters;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const char32_t letter = printable ? static_cast<char32_t>(byte) : next++;
    letters[byte] = to_utf8({&letter, 1});
  }
  return letters;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

/// Collects the pairs of a flat JSON object while it is parsed, much faster than building a tree.
struct IdReader : nlohmann::json_sax<Json> {
  ClipVocabulary::Ids ids;
  std::string name;
  int depth = 0;
  bool flat = true;

  bool add(int64_t id) {
    ids.emplace(std::move(name), static_cast<int32_t>(id));
    return true;
  }
  bool fail() { return flat = false; }
  bool null() override { return fail(); }
  bool boolean(bool) override { return fail(); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(static_cast<int64_t>(value)); }
  bool number_float(double, const std::string&) override { return fail(); }
  bool string(std::string&) override { return fail(); }
  bool binary(Json::binary_t&) override { return fail(); }
  bool start_object(size_t) override { return ++depth == 1 || fail(); }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return fail(); }
  bool end_array() override { return true; }
  bool key(std::string& text) override {
    name = std::move(text);
    return true;
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return fail(); }
};

std::vector<std::string> read_merge_lines(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::vector<std::string> rules;
  rules.reserve(50000);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool is_header = at == 0 && line.starts_with("#version");
    if (!is_header && !line.empty()) rules.emplace_back(line);
    at = end + 1;
  }
  return rules;
}

}  // namespace

ClipVocabulary::ClipVocabulary(const Ids& ids, const std::vector<std::string>& rules,
                               const std::filesystem::path& source) {
  const auto id_of = [&](const std::string& token) {
    const auto found = ids.find(token);
    if (found == ids.end()) {
      throw FileError(source,
                      fmt::format("CLIP vocabulary of {} tokens: got no token '{}', expected one.", ids.size(), token));
    }
    return found->second;
  };
  start_id_ = id_of(std::string(kStartOfText));
  end_id_ = id_of(std::string(kEndOfText));
  const auto letters = byte_letters();
  for (int byte = 0; byte < 256; ++byte) {
    inner_bytes_[byte] = id_of(letters[byte]);
    last_bytes_[byte] = id_of(letters[byte] + std::string(kWordEnd));
  }
  merges_.reserve(rules.size());
  std::string left, right;
  for (const std::string& rule : rules) {
    const size_t blank = rule.find(' ');
    if (blank == std::string::npos) throw FileError(source, "merge rule: got '" + rule + "', expected two tokens.");
    left.assign(rule, 0, blank);
    right.assign(rule, blank + 1);
    const uint64_t key = pair_key(id_of(left), id_of(right));
    merges_.emplace(key, Merge{static_cast<int32_t>(merges_.size()), id_of(left + right)});
  }
}

const ClipVocabulary::Merge* ClipVocabulary::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void ClipVocabulary::encode_word(std::string_view word, std::vector<int64_t>& out) const {
  if (word.empty()) return;
  constexpr Merge kNone{std::numeric_limits<int32_t>::max(), -1};
  std::vector<int32_t> parts;
  for (const char byte : word) parts.push_back(inner_bytes_[static_cast<unsigned char>(byte)]);
  parts.back() = last_bytes_[static_cast<unsigned char>(word.back())];
  // Parts keep their places, and a part that was joined to the one before leaves a gap: long words cost n log n.
  const size_t count = parts.size();
  std::vector<size_t> next(count), previous(count);
  std::vector<Merge> merges(count, kNone);       // merges[i] joins part i and the one after it
  using Candidate = std::pair<int32_t, size_t>;  // rank and place, the leftmost of the lowest rank first
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto look_up = [&](size_t i) {
    const Merge* merge = next[i] < count ? find_merge(parts[i], parts[next[i]]) : nullptr;
    merges[i] = merge ? *merge : kNone;
    if (merge) candidates.emplace(merge->rank, i);
  };
  for (size_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? 0 : i - 1;
    look_up(i);
  }
  while (!candidates.empty()) {
    const auto [rank, i] = candidates.top();
    candidates.pop();
    if (merges[i].rank != rank) continue;  // one of the two parts is another by now
    const size_t gone = next[i];
    parts[i] = merges[i].id;
    merges[gone] = kNone;
    next[i] = next[gone];
    if (next[i] < count) previous[next[i]] = i;
    look_up(i);
    if (i > 0) look_up(previous[i]);
  }
  for (size_t i = 0; i < count; i = next[i]) out.push_back(parts[i]);
}

std::shared_ptr<const ClipVocabulary> read_clip_vocabulary(const std::filesystem::path& vocab_json,
                                                           const std::filesystem::path& merges_txt) {
  const std::string text = read_file(vocab_json);
  IdReader reader;
  reader.ids.reserve(50000);
  Json::sax_parse(text, &reader);
  if (!reader.flat)
    throw FileError(vocab_json, "CLIP vocabulary: got other content, expected a JSON object {token: id}.");
  return std::make_shared<ClipVocabulary>(reader.ids, read_merge_lines(merges_txt), vocab_json);
}

std::shared_ptr<const ClipVocabulary> read_clip_vocabulary(const std::filesystem::path& tokenizer_json) {
  try {
    const Json file = Json::parse(read_file(tokenizer_json));
    const Json& model = file.at("model");
    ClipVocabulary::Ids ids = model.at("vocab").get<ClipVocabulary::Ids>();
    for (const Json& token : file.value("added_tokens", Json::array())) {
      ids.emplace(token.at("content").get<std::string>(), token.at("id").get<int32_t>());
    }
    std::vector<std::string> rules;
    for (const Json& rule : model.at("merges")) {
      rules.push_back(rule.is_string() ? rule.get<std::string>()
                                       : rule.at(0).get<std::string>() + " " + rule.at(1).get<std::string>());
    }
    return std::make_shared<ClipVocabulary>(ids, rules, tokenizer_json);
  } catch (const Json::exception& error) {
    throw FileError(tokenizer_json,
                    fmt::format("CLIP tokenizer: got {}, expected a byte pair encoding.", error.what()));
  }
}

}  // namespace loraptor::text
