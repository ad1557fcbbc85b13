#include "pipeline/lora_extract.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "network/key_names.h"
#include "pipeline/checkpoint_tensors.h"

namespace loraptor::pipeline {
namespace {

using models::Part;
using models::TensorSource;
using network::LoraPair;

constexpr std::string_view kWeightEnd = ".weight";

/// A layer that both files have.
struct Layer {
  std::string module, path;
  TensorSource original, tuned;
};

/// Layers whose inputs and outputs a LoRA joins: weights with two axes or kernels, tables and projections left out.
bool is_layer(Part part, const std::string& plain, const std::vector<int64_t>& shape) {
  if (!plain.ends_with(kWeightEnd) || shape.size() < 2) return false;
  if (part == Part::mmdit) return true;
  return plain.find("encoder.layers.") != std::string::npos ||
         (plain.find("encoder.block.") != std::string::npos &&
          plain.find("relative_attention_bias") == std::string::npos);
}

void add_layers(std::vector<Layer>& layers, Part part, const CheckpointTensors& original,
                const CheckpointTensors& tuned) {
  const auto ours = models::find_part(part, original.file().names(), true);
  const auto theirs = models::find_part(part, tuned.file().names(), true);
  if (!ours || !theirs) return;
  for (const auto& [plain, source] : *ours) {
    if (!is_layer(part, plain, original.file().info(source.pieces.front()).shape)) continue;
    const auto found = theirs->find(plain);
    if (found == theirs->end()) {
      throw FileError(tuned.file().path(), fmt::format("{}: got no such tensor, expected one as in {}.", plain,
                                                       original.file().path().string()));
    }
    const std::string path = plain.substr(0, plain.size() - kWeightEnd.size());
    layers.push_back({network::module_name(target_model(part), path), plain, source, found->second});
  }
}

/// Reads the differences of layers one after the other, each into the memory of the one before: memory that is new is
/// cleared by the system first, which took a third of the time.
class Differences {
 public:
  Differences(const CheckpointTensors& original, const CheckpointTensors& tuned) : original_(original), tuned_(tuned) {}

  /// The files may be read ahead for this layer.
  void expect(const Layer& layer) const {
    for (const auto& name : layer.original.pieces) original_.reader().expect(name);
    for (const auto& name : layer.tuned.pieces) tuned_.reader().expect(name);
  }

  /// float32; good until the next call.
  at::Tensor of(const Layer& layer) {
    read(tuned_, layer.tuned);
    difference_.resize_(stored_.sizes());
    difference_.copy_(stored_);
    read(original_, layer.original);
    if (stored_.sizes() != difference_.sizes()) {
      throw FileError(
          tuned_.file().path(),
          fmt::format("{}: got shape [{}], expected [{}] as in {}.", layer.path, fmt::join(difference_.sizes(), ","),
                      fmt::join(stored_.sizes(), ","), original_.file().path().string()));
    }
    // By a few rows: each is converted to float32 first, and small memory is used again.
    for (int64_t row = 0; row < difference_.size(0); row += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, difference_.size(0) - row);
      difference_.narrow(0, row, rows).sub_(stored_.narrow(0, row, rows));
    }
    return difference_;
  }

 private:
  static constexpr int64_t kRowsAtOnce = 256;

  /// What lies in the file as it is where that is the whole layer, else its values.
  void read(const CheckpointTensors& file, const TensorSource& source) {
    const bool is_plain =
        source.pieces.size() == 1 && !source.swap_halves && file.scale_name(source.pieces.front()).empty();
    if (is_plain) {
      file.reader().read_into(source.pieces.front(), stored_);
    } else {
      stored_ = file.value(source);
    }
  }

  const CheckpointTensors &original_, &tuned_;
  at::Tensor stored_;  // of one file
  at::Tensor difference_ = at::empty({0}, at::kFloat);
};

/// The reference's limit on values: the quantile of all of them, with their signs.
void clamp_values(LoraPair& pair, double quantile) {
  auto values = at::cat({pair.up.flatten(), pair.down.flatten()});
  const auto place = static_cast<int64_t>(std::llround(quantile * static_cast<double>(values.numel() - 1))) + 1;
  const double limit = std::get<0>(values.kthvalue(place)).item<double>();
  pair.up.clamp_(-limit, limit);
  pair.down.clamp_(-limit, limit);
}

/// The error for a difference that is no number somewhere: names the file that is to blame.
FileError not_finite(const Layer& layer, const CheckpointTensors& original, const CheckpointTensors& tuned) {
  for (const auto& [file, source] : {std::pair{&original, &layer.original}, std::pair{&tuned, &layer.tuned}}) {
    for (const auto& name : source->pieces) {
      if (file->value(name).isfinite().all().item<bool>()) continue;
      return {file->file().path(), fmt::format("{}: got NaN or infinite values, expected finite ones.", name)};
    }
  }
  return {tuned.file().path(), fmt::format("{}: got a difference from {} beyond float32, expected finite values.",
                                           layer.path, original.file().path().string())};
}

/// The greatest absolute value; no finite number if one of them is not.
double greatest_value(const at::Tensor& values) {
  const auto [least, greatest] = at::aminmax(values);  // NaN, if there is one, is both
  return std::isnan(least.item<double>()) ? NAN : std::max(-least.item<double>(), greatest.item<double>());
}

std::optional<LoraPair> extract_layer(const LoraExtract& job, const at::Tensor& difference, double greatest) {
  const auto matrix = difference.flatten(1);
  if (greatest <= job.min_diff) return std::nullopt;
  const auto svd = network::leading_svd(matrix.to(job.device), job.dim, job.method);
  LoraPair pair;
  pair.up = (svd.u * svd.s).to(at::kCPU, at::kFloat).contiguous();
  pair.down = svd.vh.to(at::kCPU, at::kFloat).contiguous();
  pair.alpha = static_cast<double>(pair.rank());
  if (job.clamp_quantile < 1) clamp_values(pair, job.clamp_quantile);
  if (difference.dim() > 2) {  // a kernel: [r,C*kh*kw] -> [r,C,kh,kw]
    auto shape = difference.sizes().vec();
    shape[0] = pair.rank();
    pair.down = pair.down.view(shape);
    pair.up = pair.up.view({pair.up.size(0), pair.up.size(1), 1, 1});
  }
  return pair;
}

}  // namespace

std::map<std::string, LoraPair> extract_lora(const LoraExtract& job, const ExtractProgress& progress) {
  const CheckpointTensors original(job.original), tuned(job.tuned);
  std::vector<Layer> layers;
  for (const auto part : {Part::mmdit, Part::clip_l, Part::clip_g, Part::t5xxl}) {
    add_layers(layers, part, original, tuned);
  }
  if (layers.empty()) {
    throw FileError(job.original,
                    "layers of SD3: got none that both files have, expected two checkpoints of one model.");
  }
  std::map<std::string, LoraPair> modules;
  Differences differences(original, tuned);
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto difference = differences.of(layers[i]);
    const double greatest = greatest_value(difference);
    if (!std::isfinite(greatest)) throw not_finite(layers[i], original, tuned);
    if (i + 1 < layers.size()) differences.expect(layers[i + 1]);
    if (auto pair = extract_layer(job, difference, greatest)) modules[layers[i].module] = std::move(*pair);
    if (progress) progress(static_cast<int64_t>(i) + 1, static_cast<int64_t>(layers.size()));
  }
  if (modules.empty()) {
    throw FileError(job.tuned, fmt::format("differences from {}: got none above {}, expected some.",
                                           job.original.string(), job.min_diff));
  }
  return modules;
}

}  // namespace loraptor::pipeline
