#include "train/resume.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "io/safetensors.h"

namespace loraptor::train {
namespace fs = std::filesystem;
namespace {

nlohmann::json read_json(const fs::path& path) {
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(read_file(path));
  } catch (const nlohmann::json::exception& e) {
    throw FileError(path, fmt::format("no valid JSON: {}.\nHint: use an older state.", e.what()));
  }
  if (json.is_object()) return json;
  throw FileError(path, fmt::format("content: got JSON of kind {}, expected an object.\nHint: use an older state.",
                                    json.type_name()));
}

/// What a state tells beside weights; other trainers need not tell anything.
nlohmann::json read_position(const fs::path& folder) {
  const fs::path file = folder / "train_state.json";
  return fs::exists(file) ? read_json(file) : nlohmann::json::object();
}

/// What another trainer tells about its position. Ref: sd-scripts@48d368f train_network.py:save_model_hook.
TrainState step_only_state(const fs::path& folder, const nlohmann::json& json) {
  if (!fs::exists(folder / "model.safetensors")) {
    throw FileError(folder, "no state: got neither one of ours nor model.safetensors.");
  }
  TrainState state;
  state.is_step_only = true;
  const auto step = json.find("current_step");
  if (step != json.end()) {
    if (!step->is_number_unsigned() || step->get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
      throw FileError(folder / "train_state.json",
                      fmt::format("current_step: got {}, expected a number of steps.", step->dump()));
    }
    state.step = state.updates = step->get<int64_t>();
  }
  return state;
}

/// States of older versions have an empty DONE: there is nothing to compare then.
void check_files(const fs::path& folder) {
  if (!fs::exists(folder / "DONE")) {
    throw FileError(folder, "incomplete state: got no file DONE, expected one.\nHint: use an older state.");
  }
  std::istringstream lines(read_file(folder / "DONE"));
  for (std::string expected, name; lines >> expected >> name;) {
    if (!fs::exists(folder / name)) {
      throw FileError(folder / name, "missing: got no such file, expected one.\nHint: use an older state.");
    }
    const std::string got = sha256_hex_of_file(folder / name);
    if (got == expected) continue;
    throw FileError(folder / name, fmt::format("damaged: got SHA-256 {}…, expected {}….\nHint: use an older state.",
                                               got.substr(0, 12), expected.substr(0, 12)));
  }
}

at::Tensor fitting(const io::SafetensorsFile& file, const std::string& name, const at::Tensor& like) {
  const auto values = file.tensor(name);
  if (values.sizes() == like.sizes()) return values;
  throw FileError(file.path(),
                  fmt::format("{}: got {} numbers, expected {}.\nHint: the network options (--network_dim, "
                              "--network_args, which models are trained) differ from those of the run "
                              "that saved this state.",
                              name, values.numel(), like.numel()));
}

void restore_average(const io::SafetensorsFile& file, WeightAverage& average, const at::Tensor& weights) {
  if (file.has("average.values")) {
    average.restore(fitting(file, "average.values", average.values()));
    return;
  }
  average.restore(weights);
  log::warn("[--ema_decay] {} has no average: it begins at the weights of the state.", file.path().string());
}

}  // namespace

TrainState read_train_state(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw FileError(folder, "state folder not found.\nHint: --resume takes a folder that --save_state wrote.");
  }
  const auto json = read_position(folder);
  if (!json.contains("loraptor")) return step_only_state(folder, json);
  check_files(folder);
  return train_state_from_json(json["loraptor"], (folder / "train_state.json").string());
}

void report_differences(const fs::path& folder, const RunIdentity& identity, const RunIdentity& data) {
  const auto json = read_position(folder);
  if (!json.contains("loraptor")) {
    log::warn(
        "[--resume] {} was written by another trainer: its weights are loaded, its optimizer state is not readable "
        "here and begins anew, and steps are counted from {}.",
        folder.string(), step_only_state(folder, json).step);
    return;
  }
  auto found = differences(json.value("run", nlohmann::json()), identity);
  for (auto& difference : differences(json.value("data", nlohmann::json()), data)) {
    found.push_back(std::move(difference));
  }
  if (found.empty()) return;
  log::warn("[--resume] this run differs from the one that saved {}: {}.", folder.string(), fmt::join(found, "; "));
}

void restore(const fs::path& folder, const TrainState& state, const RunParts& parts) {
  const fs::path optimizer_file = folder / "optimizer.safetensors";
  if (!fs::exists(optimizer_file)) {
    parts.network.load(folder / "model.safetensors");
    if (parts.average != nullptr) parts.average->restore(parts.network.flat_values());
    return;
  }
  const auto file = io::SafetensorsFile::open(optimizer_file);
  const auto recorded = file->metadata().find("optimizer");
  if (recorded != file->metadata().end() && recorded->second != parts.optimizer.description()) {
    log::warn("[--resume] the optimizer differs: the state was written by {}, this run uses {}.", recorded->second,
              parts.optimizer.description());
  }
  // Copies: the file's mapping is read-only and goes away with it.
  std::map<std::string, at::Tensor> optimizer_state, scaler_state;
  for (const auto& name : file->names()) {
    if (name.starts_with("optimizer.")) optimizer_state[name.substr(10)] = file->tensor(name).clone();
    if (name.starts_with("scaler.")) scaler_state[name.substr(7)] = file->tensor(name).clone();
  }
  const auto values = fitting(*file, "network.values", parts.network.flat_values());
  parts.network.load(folder / "model.safetensors");  // alphas, and a check that the modules are the same
  {
    const at::NoGradGuard no_grad;
    at::Tensor(parts.network.flat_values()).copy_(values);
    const at::Tensor gradients = parts.network.flat_gradients();
    if (!state.group_losses.empty()) gradients.copy_(fitting(*file, "network.gradients", gradients));
  }
  parts.optimizer.load_state_dict(optimizer_state);
  if (parts.scaler.enabled()) parts.scaler.load_state_dict(scaler_state);
  if (parts.average != nullptr) restore_average(*file, *parts.average, values);
}

}  // namespace loraptor::train
