#include "pipeline/checkpoint_merge.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/error.h"

namespace loraptor::pipeline {
namespace {

using network::LoraPair;
using network::WeightedLora;

bool is_fp8(at::ScalarType dtype) { return dtype == at::kFloat8_e4m3fn || dtype == at::kFloat8_e5m2; }

double greatest(at::ScalarType dtype) { return dtype == at::kFloat8_e5m2 ? 57344 : 448; }

/// Rounds to a dtype; fp8 has no infinity to overflow to (E4M3) and should not reach it (E5M2).
at::Tensor rounded(const at::Tensor& value, at::ScalarType dtype) {
  return is_fp8(dtype) ? value.to(at::kFloat).clamp(-greatest(dtype), greatest(dtype)).to(dtype) : value.to(dtype);
}

class Merger {
 public:
  Merger(const CheckpointMerge& job, const std::vector<WeightedLora>& loras)
      : job_(job), loras_(loras), tensors_(job.from) {
    for (auto& [name, piece] : target_pieces(tensors_.file(), job.parts, job.embedded)) {
      const bool is_used = std::any_of(loras.begin(), loras.end(),
                                       [&](const auto& lora) { return lora.file.modules.count(piece.module) != 0; });
      if (is_used) pieces_[name] = piece;
    }
  }

  MergeReport run(const io::WriteProgress& progress) const {
    std::set<std::string> modules;
    for (const auto& [name, piece] : pieces_) modules.insert(piece.module);
    if (modules.empty()) throw no_module();
    for (const auto& [name, piece] : pieces_) check_shapes(name, piece);
    write_planned_safetensors(job_.to, plan(), metadata(), progress);
    return {static_cast<int64_t>(pieces_.size()), {modules.begin(), modules.end()}};
  }

 private:
  FileError no_module() const {
    const auto& file = loras_.front().file;
    return {job_.from, fmt::format("layers: got none that a module of {} belongs to, expected some (first module: {}).",
                                   file.path.string(), file.modules.begin()->first)};
  }

  void check_shapes(const std::string& name, const TargetPiece& piece) const {
    const auto& shape = tensors_.file().info(name).shape;
    const int64_t columns = c10::multiply_integers(at::IntArrayRef(shape).slice(1));
    for (const auto& lora : loras_) {
      const auto found = lora.file.modules.find(piece.module);
      if (found == lora.file.modules.end()) continue;
      const LoraPair& pair = found->second;
      if (pair.down.flatten(1).size(1) == columns && pair.up.size(0) == piece.layer_rows) continue;
      throw FileError(lora.file.path,
                      fmt::format("{}: got lora_up [{}] and lora_down [{}], expected a layer of the shape [{}] ({} in "
                                  "{}).\nHint: the LoRA may be made for another model.",
                                  piece.module, fmt::join(pair.up.sizes(), ","), fmt::join(pair.down.sizes(), ","),
                                  fmt::join(shape, ","), name, job_.from.string()));
    }
  }

  /// The weight with all corrections added, in the precision of the merge.
  at::Tensor merged(const std::string& name) const {
    const TargetPiece& piece = pieces_.at(name);
    const auto value = tensors_.value(name).to(job_.precision);
    const int64_t rows = value.size(0);
    auto matrix = value.view({rows, -1});
    for (const auto& lora : loras_) {
      const auto found = lora.file.modules.find(piece.module);
      if (found == lora.file.modules.end()) continue;
      const LoraPair& pair = found->second;
      auto up = pair.up.flatten(1).narrow(0, piece.first_row, rows).to(job_.precision);
      if (piece.swap_halves) up = at::roll(up, rows / 2, 0);
      const auto down = pair.down.flatten(1).to(job_.precision);
      matrix.addmm_(up, down, /*beta=*/1, /*alpha=*/lora.ratio * pair.scale());
    }
    return value;
  }

  /// The scale of a merged weight of scaled fp8: its greatest value becomes the greatest one of the dtype.
  at::Tensor merged_scale(const std::string& weight) const {
    const auto top = merged(weight).abs().max().to(at::kFloat);
    return at::clamp_min(top / greatest(tensors_.file().info(weight).dtype), 1e-12);
  }

  at::ScalarType saved_dtype(const std::string& name) const {
    const auto dtype = tensors_.file().info(name).dtype;
    return job_.save_precision && at::isFloatingType(dtype) ? *job_.save_precision : dtype;
  }

  std::vector<io::PlannedTensor> plan() const {
    std::map<std::string, std::string> scales;  // scale -> weight
    for (const auto& name : tensors_.file().names()) {
      if (const std::string scale = tensors_.scale_name(name); !scale.empty()) scales[scale] = name;
    }
    std::vector<io::PlannedTensor> plans;
    for (const auto& name : tensors_.file().names()) {
      const auto weight = scales.find(name);
      const bool is_scale = weight != scales.end();
      if (is_scale && job_.save_precision) continue;  // multiplied out
      io::PlannedTensor plan{name, saved_dtype(name), tensors_.file().info(name).shape, nullptr};
      if (is_scale) {
        plan.dtype = tensors_.file().info(name).dtype;
        plan.make = [this, plan, weight = weight->second] {
          if (pieces_.count(weight) == 0) return tensors_.raw(plan.name);
          return merged_scale(weight).to(plan.dtype).reshape(plan.shape);
        };
      } else {
        plan.make = [this, name, dtype = plan.dtype] { return saved(name, dtype); };
      }
      plans.push_back(std::move(plan));
    }
    return plans;
  }

  at::Tensor saved(const std::string& name, at::ScalarType dtype) const {
    const bool is_changed = pieces_.count(name) != 0;
    if (!is_changed && dtype == tensors_.file().info(name).dtype) return tensors_.raw(name);
    if (!is_changed) return rounded(at::isFloatingType(dtype) ? tensors_.value(name) : tensors_.raw(name), dtype);
    if (tensors_.scale_name(name).empty() || job_.save_precision) return rounded(merged(name), dtype);
    return rounded(merged(name) / merged_scale(name), dtype);
  }

  io::Metadata metadata() const {
    if (!job_.keep_metadata) return {};
    io::Metadata metadata = tensors_.file().metadata();
    std::vector<std::string> names{job_.from.stem().string()};
    for (const auto& lora : loras_) names.push_back(lora.file.path.stem().string());
    metadata["modelspec.merged_from"] = fmt::format("{}", fmt::join(names, ", "));
    metadata["modelspec.title"] = job_.to.stem().string();
    metadata["modelspec.date"] = local_time_iso();
    metadata.erase("modelspec.hash_sha256");  // of the old file
    return metadata;
  }

  const CheckpointMerge& job_;
  const std::vector<WeightedLora>& loras_;
  CheckpointTensors tensors_;
  std::map<std::string, TargetPiece> pieces_;  // those that change
};

}  // namespace

MergeReport merge_into_checkpoint(const CheckpointMerge& job, const std::vector<WeightedLora>& loras,
                                  const io::WriteProgress& progress) {
  return Merger(job, loras).run(progress);
}

}  // namespace loraptor::pipeline
