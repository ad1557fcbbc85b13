// LoRA, LoHa, LoKr and DoRA files with LyCORIS's names: any mixture of the kinds, module by module.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "network/factors.h"

namespace loraptor::network {

/// One module of a file.
struct FactorSet {
  Factors factors;              // matrices; kernels are flattened
  at::Tensor dora_scale;        // [out,1] or [1,in]; undefined: none
  std::optional<double> alpha;  // unset: the rank
  double strength() const;      // alpha / rank
  bool is_dora() const { return dora_scale.defined(); }
};

struct FactorFile {
  io::Metadata metadata;
  std::map<std::string, FactorSet> modules;  // by module name
  std::vector<std::string> unknown_keys;
};

/// Whether a file has keys of LoHa, LoKr or DoRA, which `read_lora_file` does not take.
bool is_beyond_lora(const std::filesystem::path& path);

/// Reads such a file; tensors are views of the mapped file. Throws FileError for a malformed file, an incomplete
/// module, factors that do not fit together, tensors of a module beside them (a Tucker decomposition, a trained bias),
/// an alpha that is no finite scalar, or a file without any module.
FactorFile read_factor_file(const std::filesystem::path& path);

}  // namespace loraptor::network
