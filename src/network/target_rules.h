// Which layers get a LoRA module, of which rank: the rules behind the flags, as a plan that allocates nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "network/lora_file.h"
#include "network/network.h"
#include "network/network_args.h"

namespace loraptor::network {

/// One module to be created.
struct ModulePlan {
  std::string name;  // as in files
  TargetLinear target;
  int64_t rank = 0;             // of each pair
  double alpha = 1;             // of each pair; strength = alpha / rank
  int64_t splits = 1;           // 3: separate pairs for q, k and v
  std::vector<int64_t> kernel;  // {C,kh,kw} for the patch embedder, else empty
};

/// The modules that the flags ask for, in creation order: CLIP-L, CLIP-G, T5, MMDiT blocks ascending with the context
/// side first, embedders last.
/// Ref: sd-scripts@48d368f networks/lora_sd3.py:LoRANetwork.__init__.
std::vector<ModulePlan> plan_modules(const NetworkConfig& config, const NetworkArgs& args,
                                     const std::vector<TargetLinear>& targets);

/// The modules that a LoRA file holds, with its ranks and alphas, in creation order. q/k/v pairs in merged form become
/// three pairs if `args.split_qkv` asks for it; those that are not in merged form are counted in a warning.
/// Ref: sd-scripts@48d368f networks/lora_sd3.py:create_network_from_weights.
std::vector<ModulePlan> plan_modules_from_file(const NetworkConfig& config, const NetworkArgs& args,
                                               const LoraFile& file, const std::vector<TargetLinear>& targets);

/// Shapes of lora_down and lora_up as saved: [splits*rank,in] and [out,splits*rank], for the patch embedder
/// [rank,C,kh,kw] and [out,rank,1,1].
std::pair<std::vector<int64_t>, std::vector<int64_t>> saved_shapes(const ModulePlan& plan);

}  // namespace loraptor::network
