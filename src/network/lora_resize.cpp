#include "network/lora_resize.h"

#include <algorithm>

#include "base/error.h"
#include "network/low_rank.h"

namespace loraptor::network {
namespace {

/// A module whose greatest singular value is not above this counts as zero and gets rank 1.
constexpr double kSmallestValue = 1e-6;

/// Number of the first place where a running share (ascending, 0..1) reaches `target`, from 1.
int64_t count_until(const at::Tensor& shares, double target) { return shares.lt(target).sum().item<int64_t>() + 1; }

int64_t rank_by_rule(const at::Tensor& values, const ResizeOptions& options) {
  switch (options.rule) {
    case RankRule::fixed: return options.new_rank;
    case RankRule::sv_ratio: {
      const double least = values[0].item<double>() / options.parameter;
      return values.gt(least).sum().item<int64_t>();
    }
    case RankRule::sv_fro: {
      const auto squares = values.square();
      return count_until(squares.cumsum(0) / squares.sum(), options.parameter * options.parameter);
    }
    case RankRule::sv_cumulative: return count_until(values.cumsum(0) / values.sum(), options.parameter);
  }
  return options.new_rank;
}

/// The shape of a tensor with its rank axis (the first of down, the second of up) replaced.
std::vector<int64_t> with_rank(const at::Tensor& tensor, size_t axis, int64_t rank) {
  auto shape = tensor.sizes().vec();
  shape[axis] = rank;
  return shape;
}

}  // namespace

RankRule rank_rule(const std::optional<std::string>& name) {
  if (!name) return RankRule::fixed;
  if (*name == "sv_ratio") return RankRule::sv_ratio;
  if (*name == "sv_fro") return RankRule::sv_fro;
  if (*name == "sv_cumulative") return RankRule::sv_cumulative;
  throw UsageError(fmt::format("[--dynamic_method] got '{}', expected sv_ratio, sv_fro or sv_cumulative.", *name));
}

int64_t choose_rank(const at::Tensor& values, const ResizeOptions& options) {
  if (values[0].item<double>() <= kSmallestValue) return 1;
  return std::clamp<int64_t>(rank_by_rule(values, options), 1, std::min(options.new_rank, values.size(0)));
}

LoraPair resize_pair(const LoraPair& pair, const ResizeOptions& options, ResizedModule* report) {
  const Svd svd = product_svd(pair.up.flatten(1), pair.down.flatten(1));
  const int64_t rank = choose_rank(svd.s, options);
  const auto kept = svd.s.narrow(0, 0, rank);
  LoraPair out;
  out.up = (svd.u.narrow(1, 0, rank) * kept).to(at::kFloat).reshape(with_rank(pair.up, 1, rank));
  out.down = svd.vh.narrow(0, 0, rank).to(at::kFloat).reshape(with_rank(pair.down, 0, rank));
  out.alpha = pair.scale() * static_cast<double>(rank);
  if (report != nullptr) {
    report->old_rank = pair.rank();
    report->new_rank = rank;
    const double sum = svd.s.sum().item<double>(), norm = svd.s.norm().item<double>();
    report->sum_retained = sum > 0 ? kept.sum().item<double>() / sum : 1;
    report->fro_retained = norm > 0 ? kept.norm().item<double>() / norm : 1;
    const double least = kept[-1].item<double>();
    report->max_ratio = least > 0 ? kept[0].item<double>() / least : 1;
  }
  return out;
}

std::map<std::string, LoraPair> resize_modules(const std::map<std::string, LoraPair>& modules,
                                               const ResizeOptions& options, const ResizeReport& report) {
  WeightedLora lora;
  lora.file.modules = modules;
  return resize_modules(lora, options, report);
}

std::map<std::string, LoraPair> resize_modules(const WeightedLora& lora, const ResizeOptions& options,
                                               const ResizeReport& report) {
  std::map<std::string, LoraPair> out;
  for (const auto& name : lora.module_names()) {
    const auto pair = lora.file.modules.find(name);
    ResizedModule line;
    line.name = name;
    out[name] = resize_pair(
        pair != lora.file.modules.end() ? pair->second : exact_pair(lora.factors.at(name), name, lora.file.path),
        options, &line);
    if (report) report(line);
  }
  return out;
}

}  // namespace loraptor::network
