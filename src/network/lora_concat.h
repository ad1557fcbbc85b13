// Several LoRAs as one, exactly: their ranks side by side.
#pragma once

#include <string>
#include <vector>

#include "network/factor_file.h"
#include "network/lora_file.h"

namespace loraptor::network {

/// A LoRA file and how strongly it counts.
struct WeightedLora {
  LoraFile file;  // its plain pairs
  double ratio = 1;
  std::map<std::string, FactorSet> factors = {};  // its modules of LoHa, LoKr and DoRA, by name

  /// Names of all modules, sorted.
  std::vector<std::string> module_names() const;
};

/// Reads a file of any kind, module by module; warns about tensors that are no part of one. Throws FileError as
/// read_lora_file and read_factor_file do.
WeightedLora read_any_lora(const std::filesystem::path& path);

/// Throws FileError, with the module's name, for NaN or infinite values.
void check_finite(const WeightedLora& lora);

/// The flags of a list of files and of the list of their strengths, for messages.
struct LoraFlags {
  const char* files;
  const char* ratios;
};

/// Reads the files of a command. No ratios: 1 each.
/// Throws UsageError if their numbers differ, a ratio is not finite or there is no file, FileError as read_any_lora
/// does and for values that are not finite.
std::vector<WeightedLora> read_weighted_loras(const std::vector<std::string>& paths, const std::vector<double>& ratios,
                                              const LoraFlags& flags = {"--models", "--ratios"});

/// A module of LoHa or LoKr as a plain pair with the same product (ExactProduct says how the rank grows).
///   name, path   for the message
/// Throws FileError for DoRA, whose correction depends on the layer's weight.
LoraPair exact_pair(const FactorSet& set, const std::string& name, const std::filesystem::path& path);

/// One module of `concat_loras`. Needs a file that has it.
LoraPair concat_module(const std::vector<WeightedLora>& loras, const std::string& name);

/// Modules whose products are the sums of ratio * product over all files: lora_down stacked, lora_up side by side.
/// The strength per rank is that of the first file that has the module; the others' ratios and strengths are
/// multiplied into their lora_up. Modules of LoHa and LoKr take part as exact_pair gives them. float32.
/// Throws FileError where two files' modules of one name have different layer shapes, and for DoRA.
std::map<std::string, LoraPair> concat_loras(const std::vector<WeightedLora>& loras);

/// Puts the ranks of each module in a drawn order, the same for both halves; products stay the same.
void shuffle_ranks(std::map<std::string, LoraPair>& modules, uint64_t seed);

/// The tensors of a file with these modules: lora_down, lora_up and alpha in `dtype`.
io::NamedTensors lora_tensors(const std::map<std::string, LoraPair>& modules, at::ScalarType dtype);

/// ss_network_dim and ss_network_alpha of these modules: the common value, or "Dynamic".
io::Metadata network_size_metadata(const std::map<std::string, LoraPair>& modules);

/// Metadata of a LoRA made of others: base model (warns if they differ), size, title and `modelspec.merged_from`.
///   title   for modelspec.title
io::Metadata merged_metadata(const std::vector<WeightedLora>& loras, const std::map<std::string, LoraPair>& modules,
                             const std::string& title);

}  // namespace loraptor::network
