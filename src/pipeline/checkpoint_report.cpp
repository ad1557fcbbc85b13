#include "pipeline/checkpoint_report.h"

#include <algorithm>
#include <set>

#include "io/safetensors.h"
#include "models/sd3_variant.h"
#include "pipeline/checkpoint_tensors.h"
#include "tensor/dtype.h"

namespace loraptor::pipeline {
namespace {

using models::Part;
using nlohmann::ordered_json;
using File = std::shared_ptr<const io::SafetensorsFile>;

/// The tensors of a part with the scales of its 8-bit weights, which are no tensors of their own.
std::set<std::string> names_of(const File& file, const models::TensorNames& names) {
  std::set<std::string> found;
  for (const auto& [plain, source] : names) {
    found.insert(source.pieces.begin(), source.pieces.end());
  }
  return with_scales(std::move(found), *file);
}

bool is_diffusers(const models::TensorNames& names) {
  return std::any_of(names.begin(), names.end(), [](const auto& item) {
    const std::string& piece = item.second.pieces.front();
    return piece.find("transformer_blocks.") != std::string::npos || piece.find("mid_block.") != std::string::npos;
  });
}

void add_variant(ordered_json& part, const File& file, const models::TensorNames& names) {
  const auto variant = models::detect_variant(models::PartReader(file, "mmdit", names, {}));
  part["model"] = variant.title();
  part["variant"] = variant.type_name();
  part["depth"] = variant.depth;
  part["width"] = variant.width;
  part["qk_norm"] = variant.qk_norm;
  part["dual_blocks"] = variant.dual_blocks;
  part["position_side"] = variant.pos_side;
}

ordered_json part_json(const File& file, Part part, const models::TensorNames& names, std::set<std::string>& seen) {
  uint64_t bytes = 0;
  int64_t parameters = 0;
  std::map<std::string, int64_t> dtypes;
  const auto own = names_of(file, names);
  for (const auto& name : own) {
    const auto& info = file->info(name);
    bytes += info.size_bytes;
    parameters += c10::multiply_integers(info.shape);
    ++dtypes[std::string(tensor::safetensors_name(info.dtype))];
  }
  seen.insert(own.begin(), own.end());
  ordered_json json{{"part", models::part_name(part)},
                    {"tensors", own.size()},
                    {"parameters", parameters},
                    {"bytes", bytes},
                    {"dtypes", dtypes},
                    {"layout", is_diffusers(names) ? "diffusers" : "original"}};
  if (part == Part::mmdit) add_variant(json, file, names);
  return json;
}

/// A file of one encoder alone has no prefix that tells which: CLIP-G is the wider one.
std::optional<Part> lone_encoder(const File& file) {
  if (models::find_part(Part::t5xxl, file->names(), false)) return Part::t5xxl;
  const auto clip = models::find_part(Part::clip_l, file->names(), false);
  if (!clip) return std::nullopt;
  constexpr int64_t kWidthOfClipL = 768;
  const auto& source = clip->at("text_model.embeddings.position_embedding.weight");
  const auto& shape = file->info(source.pieces.front()).shape;
  return shape.size() == 2 && shape[1] > kWidthOfClipL ? Part::clip_g : Part::clip_l;
}

}  // namespace

ordered_json checkpoint_report(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  ordered_json report{{"file", path.string()},
                      {"type", "checkpoint"},
                      {"bytes", std::filesystem::file_size(path)},
                      {"tensors", file->names().size()},
                      {"parts", ordered_json::array()}};
  std::set<std::string> seen;
  for (const auto part : {Part::mmdit, Part::vae, Part::clip_l, Part::clip_g, Part::t5xxl}) {
    const auto names = models::find_part(part, file->names(), true);
    if (names) report["parts"].push_back(part_json(file, part, *names, seen));
  }
  if (report["parts"].empty()) {
    if (const auto part = lone_encoder(file)) {
      report["parts"].push_back(part_json(file, *part, *models::find_part(*part, file->names(), false), seen));
    }
  }
  std::vector<std::string> other;
  std::copy_if(file->names().begin(), file->names().end(), std::back_inserter(other),
               [&](const std::string& name) { return seen.count(name) == 0; });
  report["other"] = {{"tensors", other.size()},
                     {"first", other.empty() ? ordered_json(nullptr) : ordered_json(other.front())}};
  report["metadata"] = file->metadata();
  return report;
}

}  // namespace loraptor::pipeline
