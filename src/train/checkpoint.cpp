#include "train/checkpoint.h"

#include <fmt/format.h>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/python_format.h"
#include "network/lora_file.h"
#include "train/metadata.h"
#include "train/model_spec.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

void remove_file(const fs::path& path) {
  std::error_code code;
  if (fs::remove(path, code)) log::info("removed {}", path.filename().string());
}

/// What cannot be removed is no reason to end a run.
void remove_folder(const fs::path& path) {
  std::error_code code;
  const auto removed = fs::remove_all(path, code);
  if (code) log::warn("[{}] old state cannot be removed: {}.", path.string(), code.message());
  else if (removed > 0) log::info("removed {}", path.filename().string());
}

}  // namespace

CheckpointWriter::CheckpointWriter(const TrainConfig& config, const Precision& precision, CheckpointFacts facts)
    : config_(config), dtype_(precision.save.value_or(precision.lora)), facts_(std::move(facts)) {}

fs::path CheckpointWriter::folder() const { return config_.saving.output_dir.value_or("."); }

void CheckpointWriter::write(const SaveDecision& decision, const RunParts& parts, const TrainState& state,
                             int64_t epoch) const {
  if (!decision.model.empty()) {
    parts.optimizer.eval();
    write_model(folder() / decision.model, parts.network, state.step, epoch);
    parts.optimizer.train();
    if (parts.average != nullptr) {
      const auto path = folder() / average_file(decision.model);
      parts.average->while_in_place([&] { write_model(path, parts.network, state.step, epoch); });
    }
  }
  if (decision.state) write_state(folder() / *decision.state, parts, state);
  if (decision.remove_model) {
    remove_file(folder() / *decision.remove_model);
    remove_file(folder() / average_file(*decision.remove_model));
  }
  if (decision.remove_state) remove_folder(folder() / *decision.remove_state);
}

void CheckpointWriter::write_model(const fs::path& path, const network::Network& network, int64_t step,
                                   int64_t epoch) const {
  const double now = unix_time();
  io::Metadata metadata = facts_.metadata.get();
  metadata["ss_training_finished_at"] = python_repr(now);
  metadata["ss_steps"] = python_repr(step);
  metadata["ss_epoch"] = python_repr(epoch);
  if (config_.saving.no_metadata) metadata = minimal_metadata(metadata);
  metadata.merge(model_spec(config_, facts_.model_type, now));
  network::write_lora_file(path, network.state(dtype_), std::move(metadata));
  log::info("saved {}", path.string());
}

void CheckpointWriter::write_state(const fs::path& folder, const RunParts& parts, const TrainState& state) const {
  AtomicFolder files(folder);
  parts.optimizer.eval();  // whoever loads this file alone gets what the LoRA file has
  io::write_safetensors(files.path() / "model.safetensors", parts.network.state(at::kFloat));
  parts.optimizer.train();
  io::NamedTensors tensors;
  for (const auto& [name, tensor] : parts.optimizer.state_dict()) tensors.emplace_back("optimizer." + name, tensor);
  for (const auto& [name, tensor] : parts.scaler.state_dict()) tensors.emplace_back("scaler." + name, tensor);
  // The exact values, bit for bit and in buffer order, whatever the file format of the network does to them.
  tensors.emplace_back("network.values", parts.network.flat_values());
  if (!state.group_losses.empty()) tensors.emplace_back("network.gradients", parts.network.flat_gradients());
  if (parts.average != nullptr) tensors.emplace_back("average.values", parts.average->values());
  io::write_safetensors(files.path() / "optimizer.safetensors", tensors,
                        {{"optimizer", parts.optimizer.description()}});

  nlohmann::json json = {{"current_epoch", state.epoch},    {"current_step", state.step},
                         {"saved_at", unix_time()},         {"loraptor", to_json(state)},
                         {"run", to_json(facts_.identity)}, {"data", to_json(facts_.data)}};
  write_file(files.path() / "train_state.json", json.dump(1));
  // As sha256sum prints them, so that `sha256sum -c DONE` checks a state too.
  std::string sums;
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "train_state.json"}) {
    sums += fmt::format("{}  {}\n", sha256_hex_of_file(files.path() / name), name);
  }
  write_file(files.path() / "DONE", sums);
  files.commit();
  log::info("saved state {}", folder.string());
}

}  // namespace loraptor::train
