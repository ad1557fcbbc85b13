#include "train/model_spec.h"

#include <openssl/evp.h>

#include <filesystem>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/log.h"

namespace loraptor::train {
namespace {

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

/// A picture file becomes a data URL; a data URL stays; anything else is left out with a warning.
std::optional<std::string> thumbnail(const std::string& value) {
  if (value.starts_with("data:")) return value;
  const std::filesystem::path path = value;
  if (!std::filesystem::is_regular_file(path)) {
    log::warn("[--metadata_thumbnail] file not found: got '{}'; the thumbnail is left out.", value);
    return std::nullopt;
  }
  std::string kind = path.extension().string();
  std::transform(kind.begin(), kind.end(), kind.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::string mime = kind == ".png" ? "image/png" : kind == ".webp" ? "image/webp" : "image/jpeg";
  return "data:" + mime + ";base64," + base64(read_file(path));
}

/// "512,768" or "512" -> "512x768"; unset -> the reference's default for SD3.
std::string resolution_text(const std::optional<std::string>& resolution) {
  if (!resolution) return "1024x1024";
  const auto comma = resolution->find(',');
  const std::string width = resolution->substr(0, comma);
  std::string height = comma == std::string::npos ? width : resolution->substr(comma + 1);
  height.erase(0, height.find_first_not_of(' '));
  return width + "x" + height;
}

}  // namespace

io::Metadata model_spec(const TrainConfig& config, const std::string& model_type, double saved_at) {
  const auto& spec = config.model_spec;
  io::Metadata out;
  out["modelspec.sai_model_spec"] = "1.0.1";
  out["modelspec.architecture"] = "stable-diffusion-3-" + model_type + "/lora";
  out["modelspec.implementation"] = "diffusers";
  out["modelspec.implementation_version"] = std::string("loraptor/") + LORAPTOR_VERSION;
  out["modelspec.title"] = spec.metadata_title         ? *spec.metadata_title
                           : config.saving.output_name ? *config.saving.output_name
                                                       : fmt::format("LoRA@{}", static_cast<int64_t>(saved_at));
  out["modelspec.resolution"] = resolution_text(config.data.resolution);
  out["modelspec.date"] = local_time_iso();
  out["modelspec.prediction_type"] = config.origins.count("v_parameterization") ? "v" : "epsilon";
  if (config.flow.min_timestep || config.flow.max_timestep) {
    out["modelspec.timestep_range"] =
        fmt::format("{},{}", config.flow.min_timestep.value_or(0), config.flow.max_timestep.value_or(1000));
  }
  if (const auto skip = config.recorded.find("clip_skip"); skip != config.recorded.end() && skip->second != "None") {
    out["modelspec.encoder_layer"] = skip->second;
  }
  const std::pair<const char*, const std::optional<std::string>*> texts[] = {
      {"author", &spec.metadata_author},
      {"description", &spec.metadata_description},
      {"license", &spec.metadata_license},
      {"tags", &spec.metadata_tags},
      {"usage_hint", &spec.metadata_usage_hint},
      {"merged_from", &spec.metadata_merged_from},
      {"trigger_phrase", &spec.metadata_trigger_phrase},
      {"preprocessor", &spec.metadata_preprocessor},
      {"is_negative_embedding", &spec.metadata_is_negative_embedding},
  };
  for (const auto& [key, value] : texts) {
    if (*value) out[std::string("modelspec.") + key] = **value;
  }
  if (spec.metadata_thumbnail) {
    if (const auto url = thumbnail(*spec.metadata_thumbnail)) out["modelspec.thumbnail"] = *url;
  }
  for (const auto& [key, value] : spec.other) out["modelspec." + key] = value;
  return out;
}

}  // namespace loraptor::train
