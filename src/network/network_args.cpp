#include "network/network_args.h"

#include <fmt/ranges.h>
#include <charconv>
#include <map>

#include "base/error.h"
#include "base/suggest.h"

namespace loraptor::network {
namespace {

constexpr int64_t kBlockLimit = 999;  // the reference allows indices below this, whatever the model's depth

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] void refuse(const std::string& key, std::string_view got, std::string_view expected) {
  throw UsageError(fmt::format("[--network_args] {}: got '{}', expected {}.", key, got, expected));
}

int64_t parse_dim(const std::string& key, std::string_view text) {
  text = trim(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) refuse(key, text, "a whole number from 0");
  return value;
}

double parse_number(const std::string& key, std::string_view text, double limit, std::string_view expected) {
  text = trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < limit)) {
    refuse(key, text, expected);
  }
  return value;
}

double parse_dropout(const std::string& key, std::string_view text) {
  return parse_number(key, text, 1, "a probability from 0 to below 1");
}

double parse_ratio(const std::string& key, std::string_view text) {
  return parse_number(key, text, 1e12, "a number from 0");
}

/// As the reference compares it, where `True` alone counts.
bool parse_exact_true(NetworkArgs& args, const std::string& key, std::string_view text) {
  if (text != "True" && text != "False") {
    args.warnings.push_back(
        fmt::format("[--network_args] {}={} counts as False, as in the reference: only True, spelt like this, switches "
                    "it on.",
                    key, text));
  }
  return text == "True";
}

bool parse_bool(const std::string& key, std::string_view text) {
  if (text != "True" && text != "False") refuse(key, text, "True or False, spelt like this");
  return text == "True";
}

std::vector<std::string_view> split_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(trim(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return parts;
}

std::array<int64_t, kEmbeddingKinds> parse_emb_dims(const std::string& key, std::string_view text) {
  std::string_view inner = trim(text);
  if (inner.starts_with('[') && inner.ends_with(']')) inner = inner.substr(1, inner.size() - 2);
  const auto parts = split_commas(inner);
  if (parts.size() != kEmbeddingKinds) refuse(key, text, "six numbers [context,t,x,y,final_mod,final_linear]");
  std::array<int64_t, kEmbeddingKinds> dims{};
  for (size_t i = 0; i < parts.size(); ++i) dims[i] = parse_dim(key, parts[i]);
  return dims;
}

using Setter = void (*)(NetworkArgs& args, const std::string& key, std::string_view value);

template <BlockLayerKind kind>
void set_block_dim(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.block_dims[static_cast<size_t>(kind)] = parse_dim(key, value);
}

template <bool NetworkArgs::*field>
void set_bool(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.*field = parse_exact_true(args, key, value);
}

template <bool AlgoArgs::*field>
void set_algo_bool(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.algo.*field = parse_bool(key, value);
}

void set_algo(NetworkArgs& args, const std::string& key, std::string_view value) {
  if (value == "lora" || value == "locon") args.algo.algo = Algo::lora;
  else if (value == "loha") args.algo.algo = Algo::loha;
  else if (value == "lokr") args.algo.algo = Algo::lokr;
  else refuse(key, value, "lora, loha or lokr");
}

void set_factor(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.algo.factor = trim(value) == "-1" ? -1 : parse_dim(key, value);
  if (args.algo.factor == 0) refuse(key, value, "-1 or a whole number from 1");
}

/// LyCORIS settings that only their default can have here.
void expect_false(NetworkArgs&, const std::string& key, std::string_view value) {
  if (parse_bool(key, value)) refuse(key, value, "False, the only value in this version");
}

void expect_full_preset(NetworkArgs&, const std::string& key, std::string_view value) {
  if (value != "full") refuse(key, value, "full; choose layers with train_block_indices, x_attn_dim and its kin");
}

template <double NetworkArgs::*field>
void set_dropout(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.*field = parse_dropout(key, value);
}

template <double NetworkArgs::*field>
void set_ratio(NetworkArgs& args, const std::string& key, std::string_view value) {
  args.*field = parse_ratio(key, value);
}

/// The reference lets conv_dim replace the rank that emb_dims gives the patch embedder; here emb_dims says it all.
void set_conv(NetworkArgs& args, const std::string& key, std::string_view value) {
  parse_ratio(key, value);
  args.warnings.push_back(
      fmt::format("[--network_args] {} has no effect: the only convolution, x_embedder, takes its rank from "
                  "the third number of emb_dims.",
                  key));
}

void set_dropout_leftover(NetworkArgs& args, const std::string&, std::string_view) {
  args.warnings.emplace_back("[--network_args] dropout has no effect, as in the reference: use --network_dropout.");
}

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> table{
      {"context_attn_dim", set_block_dim<BlockLayerKind::context_attn>},
      {"context_mlp_dim", set_block_dim<BlockLayerKind::context_mlp>},
      {"context_mod_dim", set_block_dim<BlockLayerKind::context_mod>},
      {"x_attn_dim", set_block_dim<BlockLayerKind::x_attn>},
      {"x_mlp_dim", set_block_dim<BlockLayerKind::x_mlp>},
      {"x_mod_dim", set_block_dim<BlockLayerKind::x_mod>},
      {"emb_dims", [](auto& args, const auto& key, auto value) { args.emb_dims = parse_emb_dims(key, value); }},
      {"train_block_indices",
       [](auto& args, const auto&, auto value) { args.train_block_indices = parse_block_indices(std::string(value)); }},
      {"split_qkv", set_bool<&NetworkArgs::split_qkv>},
      {"train_t5xxl", set_bool<&NetworkArgs::train_t5xxl>},
      {"verbose", set_bool<&NetworkArgs::verbose>},
      {"rank_dropout", set_dropout<&NetworkArgs::rank_dropout>},
      {"module_dropout", set_dropout<&NetworkArgs::module_dropout>},
      {"conv_dim", set_conv},
      {"conv_alpha", set_conv},
      {"loraplus_lr_ratio", set_ratio<&NetworkArgs::loraplus_lr_ratio>},
      {"loraplus_unet_lr_ratio", set_ratio<&NetworkArgs::loraplus_unet_lr_ratio>},
      {"loraplus_text_encoder_lr_ratio", set_ratio<&NetworkArgs::loraplus_text_encoder_lr_ratio>},
      {"dropout", set_dropout_leftover},
      {"algo", set_algo},
      {"dora_wd", set_algo_bool<&AlgoArgs::dora_wd>},
      {"wd_on_output", set_algo_bool<&AlgoArgs::wd_on_output>},
      {"factor", set_factor},
      {"decompose_both", set_algo_bool<&AlgoArgs::decompose_both>},
      {"full_matrix", set_algo_bool<&AlgoArgs::full_matrix>},
      {"unbalanced_factorization", set_algo_bool<&AlgoArgs::unbalanced_factorization>},
      {"preset", expect_full_preset},
      {"use_tucker", expect_false},
      {"use_cp", expect_false},
      {"use_scalar", expect_false},
      {"train_norm", expect_false},
      {"bypass_mode", expect_false},
      {"rs_lora", expect_false},
      {"rank_dropout_scale", expect_false},
  };
  return table;
}

}  // namespace

std::optional<std::vector<int64_t>> parse_block_indices(const std::string& text) {
  const std::string key = "train_block_indices";
  const std::string_view trimmed = trim(text);
  if (trimmed == "all") return std::nullopt;
  std::vector<int64_t> indices;
  if (trimmed.empty() || trimmed == "none") return indices;
  for (const auto part : split_commas(trimmed)) {
    const size_t dash = part.find('-');
    const int64_t first = parse_dim(key, part.substr(0, dash));
    const int64_t last = dash == std::string_view::npos ? first : parse_dim(key, part.substr(dash + 1));
    if (first > last || last >= kBlockLimit) refuse(key, part, "block numbers below 999 and ranges such as 4-5");
    for (int64_t i = first; i <= last; ++i) indices.push_back(i);
  }
  return indices;
}

NetworkArgs parse_network_args(const std::vector<std::string>& items) {
  NetworkArgs args;
  std::vector<std::string> known;
  for (const auto& [key, setter] : setters()) known.push_back(key);
  for (const auto& item : items) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos) {
      throw UsageError(fmt::format("[--network_args] item: got '{}', expected key=value.", item));
    }
    const std::string key = item.substr(0, equals);
    const auto setter = setters().find(key);
    if (setter == setters().end()) {
      const std::string near = did_you_mean(key, known);
      args.warnings.push_back(fmt::format("[--network_args] unknown key {}, it has no effect. {}", key,
                                          near.empty() ? fmt::format("Known are {}.", fmt::join(known, ", ")) : near));
      continue;
    }
    setter->second(args, key, std::string_view(item).substr(equals + 1));
  }
  return args;
}

}  // namespace loraptor::network
