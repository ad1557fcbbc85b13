#include "pipeline/checkpoint_merge.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/error.h"

namespace loraptor::pipeline {
namespace {

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
      const bool is_used = std::any_of(loras.begin(), loras.end(), [&module = piece.module](const auto& lora) {
        return lora.file.modules.count(module) + lora.factors.count(module) > 0;
      });
      if (is_used) pieces_[name] = piece;
    }
  }

  MergeReport run(const io::WriteProgress& progress) const {
    std::set<std::string> modules;
    for (const auto& [name, piece] : pieces_) modules.insert(piece.module);
    if (modules.empty() && !job_.may_stay) throw no_module();
    for (const auto& [name, piece] : pieces_) check_shapes(name, piece);
    write_planned_safetensors(job_.to, plan(), metadata(), progress);
    return {static_cast<int64_t>(pieces_.size()), {modules.begin(), modules.end()}};
  }

 private:
  FileError no_module() const {
    return {job_.from, fmt::format("layers: got none that a module of {} belongs to, expected some (first module: {}).",
                                   loras_.front().file.path.string(), loras_.front().module_names().front())};
  }

  void check_shapes(const std::string& name, const TargetPiece& piece) const {
    const auto& shape = tensors_.file().info(name).shape;
    const int64_t columns = c10::multiply_integers(at::IntArrayRef(shape).slice(1));
    for (const auto& lora : loras_) {
      std::pair<int64_t, int64_t> got;  // out, in
      if (const auto pair = lora.file.modules.find(piece.module); pair != lora.file.modules.end()) {
        got = {pair->second.up.size(0), pair->second.down.flatten(1).size(1)};
      } else if (const auto set = lora.factors.find(piece.module); set != lora.factors.end()) {
        got = network::layer_shape(set->second.factors);
      } else {
        continue;
      }
      if (got == std::pair(piece.layer_rows, columns)) continue;
      throw FileError(lora.file.path,
                      fmt::format("{}: got a module for a layer {} -> {}, expected {} -> {} for the shape [{}] ({} in "
                                  "{}).\nHint: the LoRA may be made for another model.",
                                  piece.module, got.second, got.first, columns, piece.layer_rows, fmt::join(shape, ","),
                                  name, job_.from.string()));
    }
  }

  /// The weight with all corrections added, in the precision of the merge.
  at::Tensor merged(const std::string& name) const { return merged(name, loras_.size()); }

  /// The same with those of the first `count` files.
  at::Tensor merged(const std::string& name, size_t count) const {
    const TargetPiece& piece = pieces_.at(name);
    const auto value = tensors_.value(name).to(job_.precision);
    auto matrix = value.view({value.size(0), -1});
    for (size_t i = 0; i < count; ++i) {
      const auto& lora = loras_[i];
      if (const auto pair = lora.file.modules.find(piece.module); pair != lora.file.modules.end()) {
        const auto up = rows_of(pair->second.up.flatten(1), piece, matrix.size(0)).to(job_.precision);
        const auto down = pair->second.down.flatten(1).to(job_.precision);
        matrix.addmm_(up, down, /*beta=*/1, /*alpha=*/lora.ratio * pair->second.scale());
      } else if (lora.factors.count(piece.module) != 0) {
        matrix.add_(factor_change(piece, i, matrix));
      }
    }
    return value;
  }

  /// The rows of a layer's matrix that a piece of the file holds, in the file's order.
  static at::Tensor rows_of(const at::Tensor& layer, const TargetPiece& piece, int64_t rows) {
    const auto part = layer.narrow(0, piece.first_row, rows);
    return piece.swap_halves ? at::roll(part, rows / 2, 0) : part;
  }

  /// What a module of LoHa, LoKr or DoRA adds to a piece [rows,in] that has the corrections of the files before it.
  at::Tensor factor_change(const TargetPiece& piece, size_t number, const at::Tensor& matrix) const {
    const auto& lora = loras_[number];
    const auto& set = lora.factors.at(piece.module);
    network::Factors wide;
    for (const auto& [key, value] : set.factors) wide[key] = value.to(at::kFloat);
    const auto delta = network::delta_weight(wide).mul_(set.strength());
    const auto part = rows_of(delta, piece, matrix.size(0));
    if (!set.is_dora()) return (part * lora.ratio).to(job_.precision);
    const auto old = matrix.to(at::kFloat), corrected = old + part;
    const auto scale = set.dora_scale.to(at::kFloat);
    const auto factor = scale.size(1) == 1
                            ? network::decompose_factor(corrected, rows_of(scale, piece, matrix.size(0)), lora.ratio)
                            : network::decompose_factor(whole_layer(piece.module, number) + delta, scale, lora.ratio);
    return (corrected * factor - old).to(job_.precision);
  }

  /// A layer put together of its pieces, float32 [out,in], with the corrections of the first `count` files.
  at::Tensor whole_layer(const std::string& module, size_t count) const {
    std::map<int64_t, at::Tensor> parts;  // by first row
    for (const auto& [name, piece] : pieces_) {
      if (piece.module != module) continue;
      const auto part = merged(name, count).flatten(1).to(at::kFloat);
      parts[piece.first_row] = piece.swap_halves ? at::roll(part, part.size(0) / 2, 0) : part;
    }
    std::vector<at::Tensor> rows;
    for (const auto& [first, part] : parts) rows.push_back(part);
    return at::cat(rows);
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

  /// The tensors of the new file.
  std::vector<std::string> wanted_names() const {
    const auto all = tensors_.file().names();
    if (!job_.parts_only) return all;
    std::set<std::string> wanted;
    for (const auto part : job_.parts) {
      const auto names = models::find_part(part, all, job_.embedded);
      if (!names) continue;
      for (const auto& [plain, source] : *names) {
        wanted.insert(source.pieces.begin(), source.pieces.end());
      }
    }
    wanted = with_scales(std::move(wanted), tensors_.file());
    return {wanted.begin(), wanted.end()};
  }

  std::vector<io::PlannedTensor> plan() const {
    std::map<std::string, std::string> scales;  // scale -> weight
    for (const auto& name : tensors_.file().names()) {
      if (const std::string scale = tensors_.scale_name(name); !scale.empty()) scales[scale] = name;
    }
    const auto wanted = wanted_names();
    std::vector<io::PlannedTensor> plans;
    for (const auto& name : wanted) {
      const auto weight = scales.find(name);
      const bool is_scale = weight != scales.end();
      if (models::is_scale(name) && job_.save_precision) continue;  // multiplied out, and no mark that it was not
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
