#include "train/checkpoint.h"

#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/python_format.h"
#include "network/lora_file.h"
#include "train/metadata.h"
#include "train/model_spec.h"

namespace loraptor::train {
namespace fs = std::filesystem;

CheckpointWriter::CheckpointWriter(const TrainConfig& config, const Precision& precision, std::string model_type,
                                   std::shared_future<io::Metadata> metadata)
    : config_(config),
      dtype_(precision.save.value_or(precision.lora)),
      model_type_(std::move(model_type)),
      metadata_(std::move(metadata)) {}

fs::path CheckpointWriter::folder() const { return config_.saving.output_dir.value_or("."); }

void CheckpointWriter::write(const SaveDecision& decision, const StateParts& parts, const TrainState& state,
                             int64_t epoch) const {
  if (decision.model.empty()) return;
  parts.optimizer.eval();
  write_model(folder() / decision.model, parts.network, state.step, epoch);
  parts.optimizer.train();
  if (decision.state) write_state(folder() / *decision.state, parts, state);
  if (decision.remove_model && fs::remove(folder() / *decision.remove_model)) {
    log::info("removed {}", *decision.remove_model);
  }
  if (decision.remove_state && fs::remove_all(folder() / *decision.remove_state) > 0) {
    log::info("removed {}", *decision.remove_state);
  }
}

void CheckpointWriter::write_model(const fs::path& path, const network::Network& network, int64_t step,
                                   int64_t epoch) const {
  const double now = unix_time();
  io::Metadata metadata = metadata_.get();
  metadata["ss_training_finished_at"] = python_repr(now);
  metadata["ss_steps"] = python_repr(step);
  metadata["ss_epoch"] = python_repr(epoch);
  if (config_.saving.no_metadata) metadata = minimal_metadata(metadata);
  metadata.merge(model_spec(config_, model_type_, now));
  network::write_lora_file(path, network.state(dtype_), std::move(metadata));
  log::info("saved {}", path.string());
}

void CheckpointWriter::write_state(const fs::path& folder, const StateParts& parts, const TrainState& state) const {
  fs::path temporary = folder;
  temporary += fmt::format(".tmp-{}", ::getpid());
  fs::remove_all(temporary);
  fs::create_directories(temporary);

  io::write_safetensors(temporary / "model.safetensors", parts.network.state(at::kFloat));
  io::NamedTensors tensors;
  for (const auto& [name, tensor] : parts.optimizer.state_dict()) tensors.emplace_back("optimizer." + name, tensor);
  for (const auto& [name, tensor] : parts.scaler.state_dict()) tensors.emplace_back("scaler." + name, tensor);
  // The exact values, bit for bit and in buffer order, whatever the file format of the network does to them.
  tensors.emplace_back("network.values", parts.network.flat_values());
  io::write_safetensors(temporary / "optimizer.safetensors", tensors, {{"optimizer", parts.optimizer.description()}});

  const nlohmann::json json = {
      {"current_epoch", state.epoch}, {"current_step", state.step}, {"loraptor", to_json(state)}};
  write_file(temporary / "train_state.json", json.dump(1));
  write_file(temporary / "DONE", "");

  // rename() does not replace a folder that has files, so an older state of this name steps aside first.
  fs::path old = folder;
  old += fmt::format(".old-{}", ::getpid());
  if (fs::exists(folder)) fs::rename(folder, old);
  fs::rename(temporary, folder);
  fs::remove_all(old);
  log::info("saved state {}", folder.string());
}

}  // namespace loraptor::train
