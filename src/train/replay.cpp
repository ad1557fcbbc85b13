#include "train/replay.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace loraptor::train {
namespace {

std::string step_tensor(int64_t micro_step, const char* what) { return fmt::format("step{:04d}.{}", micro_step, what); }

}  // namespace

Replay::Replay(const std::filesystem::path& path) : file_(io::SafetensorsFile::open(path)) {
  const auto read_lists = [&](const char* key) -> std::vector<std::vector<std::string>> {
    const auto found = file_->metadata().find(key);
    if (found == file_->metadata().end()) return {};
    try {
      return nlohmann::json::parse(found->second).get<std::vector<std::vector<std::string>>>();
    } catch (const nlohmann::json::exception& e) {
      throw FileError(path, fmt::format("metadata '{}': got '{:.60}', expected a JSON list of lists of texts ({}).",
                                        key, found->second, e.what()));
    }
  };
  images_ = read_lists("images");
  captions_ = read_lists("captions");
  if (images_.empty()) {
    throw FileError(path, "recorded draws: got no metadata 'images', expected the image stems of every micro-step.");
  }
}

const std::vector<std::string>* Replay::captions(int64_t micro_step) const {
  const auto at = static_cast<size_t>(micro_step);
  return at < captions_.size() ? &captions_[at] : nullptr;
}

std::optional<at::Tensor> Replay::optional_tensor(int64_t micro_step, const char* what) const {
  const std::string name = step_tensor(micro_step, what);
  if (!file_->has(name)) return std::nullopt;
  return file_->tensor(name).to(at::kFloat);
}

std::optional<at::Tensor> Replay::pixels(int64_t micro_step) const { return optional_tensor(micro_step, "pixels"); }
std::optional<at::Tensor> Replay::mask(int64_t micro_step) const { return optional_tensor(micro_step, "mask"); }

at::Tensor Replay::recorded(const std::string& name, at::IntArrayRef shape) const {
  const auto tensor = file_->tensor(name);
  if (tensor.sizes() != shape) {
    throw FileError(file_->path(),
                    fmt::format("recorded draw '{}': got shape [{}], expected [{}].\n"
                                "Hint: the data set, the batch size or the resolution differ from the recorded run's.",
                                name, fmt::join(tensor.sizes(), ","), fmt::join(shape, ",")));
  }
  return tensor.to(at::kFloat);
}

at::Tensor Replay::noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) {
  return recorded(step_tensor(batch.micro_step, "noise"), shape);
}

at::Tensor Replay::latent_noise(const tensor::BatchDraws& batch, at::IntArrayRef shape) {
  return recorded(step_tensor(batch.micro_step, "latent_noise"), shape);
}

at::Tensor Replay::cached_latent_noise(const std::string& stem, uint64_t, at::IntArrayRef shape) {
  return recorded("latent_noise." + stem, shape);
}

std::optional<at::Tensor> Replay::recorded_timesteps(const tensor::BatchDraws& batch) {
  return recorded(step_tensor(batch.micro_step, "timesteps"), {static_cast<int64_t>(batch.occurrences.size())});
}

at::Tensor Replay::timestep_unit(const tensor::BatchDraws&) {
  LORAPTOR_ASSERT(!"a recording holds finished timesteps");
  return {};
}

at::Tensor Replay::timestep_normal(const tensor::BatchDraws& batch) { return timestep_unit(batch); }

}  // namespace loraptor::train
