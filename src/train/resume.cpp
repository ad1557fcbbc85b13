#include "train/resume.h"

#include <ATen/core/grad_mode.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "io/safetensors.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

nlohmann::json read_json(const fs::path& path) {
  try {
    return nlohmann::json::parse(read_file(path));
  } catch (const nlohmann::json::exception& e) {
    throw FileError(path, fmt::format("no valid JSON: {}.", e.what()));
  }
}

}  // namespace

std::optional<TrainState> read_train_state(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw FileError(folder, "state folder not found.\nHint: --resume takes a folder that --save_state wrote.");
  }
  const fs::path file = folder / "train_state.json";
  if (fs::exists(file)) {
    const auto json = read_json(file);
    if (json.contains("loraptor")) {
      if (!fs::exists(folder / "DONE")) {
        throw FileError(folder, "incomplete state: got no file DONE, expected one.\nHint: use an older state.");
      }
      return train_state_from_json(json["loraptor"], file.string());
    }
  }
  if (!fs::exists(folder / "model.safetensors")) {
    throw FileError(folder, "no state: got neither train_state.json nor model.safetensors.");
  }
  log::warn(
      "[--resume] {} was written by another trainer: its weights are loaded, its optimizer state is not readable "
      "here, and steps are counted from 0.",
      folder.string());
  return std::nullopt;
}

void restore(const fs::path& folder, network::Network& network, optim::Optimizer& optimizer,
             optim::GradScaler& scaler) {
  const fs::path optimizer_file = folder / "optimizer.safetensors";
  if (!fs::exists(optimizer_file)) {
    network.load(folder / "model.safetensors");
    return;
  }
  const auto file = io::SafetensorsFile::open(optimizer_file);
  const auto recorded = file->metadata().find("optimizer");
  if (recorded != file->metadata().end() && recorded->second != optimizer.description()) {
    log::warn("[--resume] the optimizer differs: the state was written by {}, this run uses {}.", recorded->second,
              optimizer.description());
  }
  // Copies: the file's mapping is read-only and goes away with it.
  std::map<std::string, at::Tensor> optimizer_state, scaler_state;
  for (const auto& name : file->names()) {
    if (name.starts_with("optimizer.")) optimizer_state[name.substr(10)] = file->tensor(name).clone();
    if (name.starts_with("scaler.")) scaler_state[name.substr(7)] = file->tensor(name).clone();
  }
  const auto values = file->tensor("network.values");
  if (values.sizes() != network.flat_values().sizes()) {
    throw FileError(optimizer_file, fmt::format("LoRA parameters: got {}, expected {}.\nHint: the network options "
                                                "(--network_dim, --network_args, which models are trained) differ from "
                                                "those of the run that saved this state.",
                                                values.numel(), network.flat_values().numel()));
  }
  network.load(folder / "model.safetensors");  // alphas, and a check that the modules are the same
  {
    at::NoGradGuard no_grad;
    at::Tensor(network.flat_values()).copy_(values);
  }
  optimizer.load_state_dict(optimizer_state);
  if (scaler.enabled()) scaler.load_state_dict(scaler_state);
}

}  // namespace loraptor::train
