// Several LoRAs as one, exactly: their ranks side by side.
#pragma once

#include <string>
#include <vector>

#include "network/lora_file.h"

namespace loraptor::network {

/// A LoRA and how strongly it counts.
struct WeightedLora {
  LoraFile file;
  double ratio = 1;
};

/// Reads a file of plain LoRA pairs; warns about tensors that are no part of one. Throws FileError as read_lora_file
/// does, and for LoHa, LoKr and DoRA, whose factors can be neither joined nor cut like pairs.
LoraFile read_plain_lora(const std::filesystem::path& path);

/// Reads the files that `--models` and `--ratios` name. No ratios: 1 each.
/// Throws UsageError if their numbers differ or there is no file, FileError as read_plain_lora does.
std::vector<WeightedLora> read_weighted_loras(const std::vector<std::string>& paths, const std::vector<double>& ratios);

/// Modules whose products are the sums of ratio * product over all files: lora_down stacked, lora_up side by side.
/// The strength per rank is that of the first file that has the module; the others' ratios and strengths are
/// multiplied into their lora_up. float32.
/// Throws FileError where two files' modules of one name have different layer shapes.
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
