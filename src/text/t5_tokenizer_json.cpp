// Rewrites a tokenizer.json as the SentencePiece model it was made from, so that one code path reads both.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "text/t5_unigram.h"

namespace loraptor::text {
namespace {

using Json = nlohmann::json;

// Field numbers and piece types of sentencepiece_model.proto.
constexpr int kModelPieces = 1, kModelTrainer = 2, kModelNormalizer = 3;
constexpr int kPieceText = 1, kPieceScore = 2, kPieceType = 3;
constexpr int kTrainerModelType = 3, kUnigram = 1;
constexpr int kNormalizerName = 1, kNormalizerCharsmap = 2;
constexpr int kNormalPiece = 1, kUnknownPiece = 2, kControlPiece = 3;

void add_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void add_number(std::string& out, int field, uint64_t value) {
  add_varint(out, static_cast<uint64_t>(field) << 3);
  add_varint(out, value);
}

void add_float(std::string& out, int field, float value) {
  add_varint(out, static_cast<uint64_t>(field) << 3 | 5);
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(bits >> shift);
}

void add_bytes(std::string& out, int field, std::string_view bytes) {
  add_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  add_varint(out, bytes.size());
  out += bytes;
}

std::string decode_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<uint32_t, 256> value_of{};
  for (size_t i = 0; i < kAlphabet.size(); ++i) value_of[static_cast<unsigned char>(kAlphabet[i])] = i;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char letter : text) {
    if (letter == '=') break;
    bits = bits << 6 | value_of[static_cast<unsigned char>(letter)];
    count += 6;
    if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8));
  }
  return bytes;
}

/// Finds the table of SentencePiece's own normalisation, alone or in a sequence of normalizers.
std::string find_charsmap(const Json& normalizer) {
  if (normalizer.value("type", "") == "Precompiled") {
    return decode_base64(normalizer.at("precompiled_charsmap").get<std::string>());
  }
  for (const Json& part : normalizer.value("normalizers", Json::array())) {
    std::string charsmap = find_charsmap(part);
    if (!charsmap.empty()) return charsmap;
  }
  return {};
}

std::string build_model(const Json& file) {
  const Json& model = file.at("model");
  const size_t unknown = model.at("unk_id").get<size_t>();
  std::string out;
  const Json& vocabulary = model.at("vocab");
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string text = vocabulary[id].at(0).get<std::string>();
    if (text.starts_with("<extra_id_")) continue;  // they follow the pieces, and spiece.model does not have them
    std::string piece;
    add_bytes(piece, kPieceText, text);
    add_float(piece, kPieceScore, vocabulary[id].at(1).get<float>());
    const bool is_control = text == "<pad>" || text == "</s>" || text == "<s>";
    add_number(piece, kPieceType, id == unknown ? kUnknownPiece : is_control ? kControlPiece : kNormalPiece);
    add_bytes(out, kModelPieces, piece);
  }
  std::string trainer;
  add_number(trainer, kTrainerModelType, kUnigram);
  add_bytes(out, kModelTrainer, trainer);
  std::string normalizer;
  add_bytes(normalizer, kNormalizerName, "nmt_nfkc");
  add_bytes(normalizer, kNormalizerCharsmap, find_charsmap(file.at("normalizer")));
  add_bytes(out, kModelNormalizer, normalizer);
  return out;
}

}  // namespace

std::string sentencepiece_model_from_json(const std::filesystem::path& tokenizer_json) {
  try {
    return build_model(Json::parse(read_file(tokenizer_json)));
  } catch (const Json::exception& error) {
    throw FileError(tokenizer_json, fmt::format("T5 tokenizer: got {}, expected a unigram model.\nHint: spiece.model "
                                                "of the same tokenizer is read too.",
                                                error.what()));
  }
}

}  // namespace loraptor::text
