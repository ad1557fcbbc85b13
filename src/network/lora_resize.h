// LoRA modules cut to fewer ranks: the nearest products, with the ranks that a rule chooses.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "network/lora_concat.h"

namespace loraptor::network {

/// How many singular values of a module are kept, beyond the upper limit.
enum class RankRule {
  fixed,          // as many as the limit says
  sv_ratio,       // those greater than the greatest divided by the parameter
  sv_fro,         // until the root of the sum of their squares is the parameter times that of all
  sv_cumulative,  // until their sum is the parameter times that of all
};

struct ResizeOptions {
  int64_t new_rank = 4;  // upper limit
  RankRule rule = RankRule::fixed;
  double parameter = 0;  // of the rule
};

/// What became of a module.
struct ResizedModule {
  std::string name;
  int64_t old_rank = 0, new_rank = 0;
  double sum_retained = 1;  // share of the sum of the singular values
  double fro_retained = 1;  // share of the Frobenius norm
  double max_ratio = 1;     // greatest over smallest kept singular value
};

/// "sv_ratio", "sv_fro", "sv_cumulative"; nullopt: fixed. Throws UsageError for another name.
RankRule rank_rule(const std::optional<std::string>& name);

/// The rank that `options` choose for descending singular values: at least 1, at most the limit.
///   values   float64 [n], n >= 1
/// Ref: sd-scripts@48d368f networks/resize_lora.py:rank_resize.
int64_t choose_rank(const at::Tensor& values, const ResizeOptions& options);

/// The pair of lower rank whose product is nearest. Its strength per rank (alpha / rank) stays.
///   report   filled in, except for the name, if there is one
LoraPair resize_pair(const LoraPair& pair, const ResizeOptions& options, ResizedModule* report = nullptr);

/// Called for each module in the order of names.
using ResizeReport = std::function<void(const ResizedModule&)>;

/// All modules of `modules`.
std::map<std::string, LoraPair> resize_modules(const std::map<std::string, LoraPair>& modules,
                                               const ResizeOptions& options, const ResizeReport& report);

/// All modules of a file of any kind; those of LoHa and LoKr become plain pairs, one at a time. Throws FileError for
/// DoRA.
std::map<std::string, LoraPair> resize_modules(const WeightedLora& lora, const ResizeOptions& options,
                                               const ResizeReport& report);

}  // namespace loraptor::network
