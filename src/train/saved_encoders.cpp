#include "train/saved_encoders.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "pipeline/checkpoint_merge.h"

namespace loraptor::train {
namespace {

using models::Part;

struct SavedPart {
  Part part;
  const std::optional<std::string>& own_file;  // the flag that names a file of this encoder alone
};

std::vector<SavedPart> saved_parts(const TrainConfig& config) {
  std::vector<SavedPart> parts;
  if (config.saving.save_clip) {
    parts.push_back({Part::clip_l, config.model.clip_l});
    parts.push_back({Part::clip_g, config.model.clip_g});
  }
  if (config.saving.save_t5xxl) parts.push_back({Part::t5xxl, config.model.t5xxl});
  return parts;
}

/// What was merged before training, then what was trained.
std::vector<network::WeightedLora> all_loras(const TrainConfig& config, const std::filesystem::path& lora) {
  std::vector<std::string> files = config.network.base_weights;
  std::vector<double> ratios = config.network.base_weights_multiplier;
  ratios.resize(files.size(), 1);
  files.push_back(lora.string());
  ratios.push_back(1);
  return network::read_weighted_loras(files, ratios);
}

}  // namespace

void check_saved_encoders(const TrainConfig& config, const models::ModelFiles& files) {
  for (const auto& [part, own_file] : saved_parts(config)) {
    if (files.has(part)) continue;
    throw UsageError(
        fmt::format("[--save_{0}] {1}: got no file with this encoder, expected one.\nHint: name it with "
                    "--{1}.",
                    part == Part::t5xxl ? "t5xxl" : "clip", models::part_name(part)));
  }
}

void save_encoders(const TrainConfig& config, const models::ModelFiles& files, const std::filesystem::path& lora) {
  const auto parts = saved_parts(config);
  if (parts.empty()) return;
  const auto loras = all_loras(config, lora);
  for (const auto& [part, own_file] : parts) {
    pipeline::CheckpointMerge job;
    job.from = files.path(part);
    job.to = lora.parent_path() / fmt::format("{}_{}.safetensors", lora.stem().string(), models::part_name(part));
    job.parts = {part};
    job.embedded = !own_file.has_value();
    job.parts_only = job.may_stay = true;
    const auto report = pipeline::merge_into_checkpoint(job, loras, {});
    log::info("saved {}, {} tensors changed", job.to.string(), report.changed);
  }
}

}  // namespace loraptor::train
