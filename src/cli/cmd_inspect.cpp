// `loraptor inspect`: what LoRA files and checkpoints hold.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/command_options.h"
#include "io/safetensors.h"
#include "network/lora_report.h"
#include "pipeline/checkpoint_report.h"

namespace loraptor::cli {
namespace {

using nlohmann::ordered_json;

std::string size_text(const ordered_json& bytes) {
  const double megabytes = bytes.get<double>() / 1e6;
  return megabytes < 1000 ? fmt::format("{:.1f} MB", megabytes) : fmt::format("{:.2f} GB", megabytes / 1000);
}

/// "4" or "4..16" of a sorted list of numbers.
std::string range_text(const ordered_json& numbers) {
  const double first = numbers.front(), last = numbers.back();
  return first == last ? fmt::format("{}", first) : fmt::format("{}..{}", first, last);
}

std::string list_text(const ordered_json& items) {
  std::vector<std::string> words;
  for (const auto& item : items) words.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return words.empty() ? "none" : fmt::format("{}", fmt::join(words, ", "));
}

/// "4 x F32, 2 x BF16" of counts by name.
std::string count_text(const ordered_json& counts) {
  std::vector<std::string> words;
  for (const auto& [name, count] : counts.items()) words.push_back(fmt::format("{} x {}", count.dump(), name));
  return fmt::format("{}", fmt::join(words, ", "));
}

void print_metadata(const ordered_json& metadata) {
  constexpr size_t kShown = 100;
  fmt::print("  metadata: {} entries\n", metadata.size());
  for (const auto& [key, value] : metadata.items()) {
    const std::string text = value.get<std::string>();
    fmt::print("    {}: {}{}\n", key, text.substr(0, kShown),
               text.size() > kShown ? fmt::format("… ({} characters, all with --json)", text.size()) : "");
  }
}

void print_hash(const char* key, const ordered_json& hash) {
  const bool is_stored = hash["stored"].is_string();
  const char* verdict = !is_stored ? "not stored" : hash["match"].get<bool>() ? "as stored" : "DIFFERS from the stored";
  fmt::print("  {}: {} ({}{})\n", key, hash["computed"].get<std::string>(), verdict,
             is_stored && !hash["match"].get<bool>() ? " " + hash["stored"].get<std::string>() : "");
}

void print_lora(const ordered_json& report) {
  fmt::print("{}\n  LoRA with {} names, {}, modules: {}, {} parameters, tensors: {}\n",
             report["file"].get<std::string>(), report["format"].get<std::string>(), size_text(report["bytes"]),
             count_text(report["algorithms"]), report["parameters"].dump(), count_text(report["dtypes"]));
  const auto& base = report["base_model"];
  fmt::print("  fits by its shapes: {}; metadata say: {}\n", list_text(base["by_shape"]),
             base["by_metadata"].is_string() ? base["by_metadata"].get<std::string>() : "nothing");
  for (const auto& part : report["parts"]) {
    fmt::print("  {}: {} modules in {} blocks\n", part["part"].get<std::string>(), part["modules"].dump(),
               part["blocks"].size());
    fmt::print("    {:<34} {:>7} {:>8} {:>10} {:>10} {:>10}  {}\n", "layer", "modules", "rank", "alpha", "norm mean",
               "max", "in -> out");
    for (const auto& kind : part["kinds"]) {
      fmt::print("    {:<34} {:>7} {:>8} {:>10} {:>10.4g} {:>10.4g}  {}\n", kind["kind"].get<std::string>(),
                 kind["modules"].dump(), range_text(kind["ranks"]), range_text(kind["alphas"]),
                 kind["norm_mean"].get<double>(), kind["norm_max"].get<double>(), list_text(kind["shapes"]));
    }
  }
  if (!report["unknown"].empty()) {
    fmt::print("  no part of a module: {} tensors (first: {})\n", report["unknown"].size(),
               report["unknown"].front().get<std::string>());
  }
  for (const auto& [key, hash] : report["hashes"].items()) print_hash(key.c_str(), hash);
  print_metadata(report["metadata"]);
}

void print_checkpoint(const ordered_json& report) {
  fmt::print("{}\n  {}, {} tensors\n", report["file"].get<std::string>(), size_text(report["bytes"]),
             report["tensors"].dump());
  if (report["parts"].empty()) fmt::print("  no part of Stable Diffusion 3 was recognised\n");
  for (const auto& part : report["parts"]) {
    fmt::print("  {}: {}, {} parameters, {} names, tensors: {}\n", part["part"].get<std::string>(),
               size_text(part["bytes"]), part["parameters"].dump(), part["layout"].get<std::string>(),
               count_text(part["dtypes"]));
    if (!part.contains("variant")) continue;
    fmt::print("    {}: {} blocks of width {}, q/k norm {}, second attention in blocks {}, position table {}x{}\n",
               part["model"].get<std::string>(), part["depth"].dump(), part["width"].dump(),
               part["qk_norm"].get<bool>() ? "yes" : "no", list_text(part["dual_blocks"]), part["position_side"].dump(),
               part["position_side"].dump());
  }
  if (const auto& other = report["other"]; other["tensors"].get<int64_t>() > 0) {
    fmt::print("  of no known part: {} tensors (first: {})\n", other["tensors"].dump(),
               other["first"].get<std::string>());
  }
  print_metadata(report["metadata"]);
}

}  // namespace

int run_inspect(const Words& words) {
  std::vector<std::string> files;
  bool as_json = false;
  CommandOptions options("inspect FILE... [--json]",
                         "Says what LoRA files and checkpoints hold: names, ranks and alphas by kind of layer, norms,\n"
                         "the models that a LoRA fits, recomputed hashes; parts, variant, dtypes and sizes.\n");
  options.add("--json", &as_json, "Print one JSON list with everything instead of text.");
  options.add_words(files);
  if (!options.parse(words)) return 0;
  if (files.empty()) throw UsageError("[inspect] files: got none, expected .safetensors files.");
  ordered_json reports = ordered_json::array();
  for (const auto& path : files) {
    const bool is_lora = network::is_lora(io::SafetensorsFile::open(path)->names());
    reports.push_back(is_lora ? network::lora_report(path) : pipeline::checkpoint_report(path));
    if (!as_json) is_lora ? print_lora(reports.back()) : print_checkpoint(reports.back());
  }
  if (as_json) fmt::print("{}\n", reports.dump(2));
  return 0;
}

}  // namespace loraptor::cli
