// The configuration of a PEFT adapter: how strongly the pair of each layer counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <regex>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace loraptor::network {

/// What a LoRA file of PEFT leaves to its configuration. Ref: peft 0.15 LoraConfig (lora_alpha, r, use_rslora,
/// alpha_pattern, rank_pattern), utils/other.py:get_pattern_key.
class PeftConfig {
 public:
  /// members   of adapter_config.json
  /// path      names the file in errors
  /// Throws FileError for members of a wrong kind, for patterns that are no regular expressions, and for adapters whose
  /// pairs are not the change from the model (PiSSA, OLoRA, CorDA, LoftQ).
  PeftConfig(const nlohmann::ordered_json& members, const std::filesystem::path& path);

  /// What the product lora_B lora_A of a layer is multiplied with: alpha / rank, or alpha / sqrt(rank) with use_rslora.
  ///   layer   its name in the model, e.g. "transformer_blocks.0.attn.to_q"
  ///   rank    of its tensors; warns if the configuration says another
  double strength(const std::string& layer, int64_t rank) const;

 private:
  /// A number for the layers whose name, or its end after a '.', matches. The first pattern that does counts.
  struct Pattern {
    std::regex layer;
    double value;
  };
  std::vector<Pattern> read_patterns(const nlohmann::ordered_json& members, const char* key) const;
  static double find(const std::vector<Pattern>& patterns, const std::string& layer, double other);

  std::filesystem::path path_;
  double alpha_ = 0, rank_ = 0;
  bool is_rank_stabilised_ = false;
  std::vector<Pattern> alphas_, ranks_;
};

/// Configurations by the component that they are of ("transformer", "text_encoder", …). A component without one: 1.
using PeftConfigs = std::map<std::string, PeftConfig>;

/// `adapter_config.json` beside a file of PEFT, as that of the transformer. None, with a warning, without such a file.
PeftConfigs read_adapter_config(const std::filesystem::path& path);

/// What diffusers 0.34 and later write into the metadata of a file: the members of all components, with their names in
/// front ("transformer.lora_alpha"), as JSON under `lora_adapter_metadata`.
PeftConfigs adapter_configs(const io::Metadata& metadata, const std::filesystem::path& path);

inline constexpr const char* kAdapterMetadata = "lora_adapter_metadata";

}  // namespace loraptor::network
