#include "pipeline/checkpoint_tensors.h"

#include "base/error.h"
#include "network/key_names.h"

namespace loraptor::pipeline {
namespace {

constexpr std::string_view kWeight = ".weight";

}  // namespace

CheckpointTensors::CheckpointTensors(const std::filesystem::path& path) : reader_(io::SafetensorsFile::open(path)) {}

std::string CheckpointTensors::scale_name(const std::string& name) const {
  if (!name.ends_with(kWeight)) return "";
  const auto& dtype = file().info(name).dtype;
  if (dtype != at::kFloat8_e4m3fn && dtype != at::kFloat8_e5m2) return "";
  std::string scale = name.substr(0, name.size() - kWeight.size()) + ".scale_weight";
  return file().has(scale) ? scale : "";
}

at::Tensor CheckpointTensors::value(const std::string& name) const {
  auto tensor = raw(name).to(at::kFloat);
  if (const std::string scale = scale_name(name); !scale.empty()) tensor.mul_(raw(scale).to(at::kFloat));
  return tensor;
}

at::Tensor CheckpointTensors::value(const models::TensorSource& source) const {
  std::vector<at::Tensor> pieces;
  for (const auto& name : source.pieces) pieces.push_back(value(name));
  auto tensor = pieces.size() == 1 ? pieces.front() : at::cat(pieces, 0);
  return source.swap_halves ? at::roll(tensor, tensor.size(0) / 2, 0) : tensor;
}

std::set<std::string> with_scales(std::set<std::string> names, const io::SafetensorsFile& file) {
  for (const auto& name : file.names()) {
    if (!models::is_scale(name)) continue;
    const std::string owner = name.substr(0, name.rfind('.') + 1);  // the layer of a scale, the part of a mark
    const auto next = names.lower_bound(owner);
    if (next != names.end() && next->starts_with(owner)) names.insert(name);
  }
  return names;
}

network::TargetModel target_model(models::Part part) {
  switch (part) {
    case models::Part::clip_l: return network::TargetModel::clip_l;
    case models::Part::clip_g: return network::TargetModel::clip_g;
    case models::Part::t5xxl: return network::TargetModel::t5;
    case models::Part::mmdit: return network::TargetModel::mmdit;
    case models::Part::vae: break;
  }
  LORAPTOR_ASSERT(part != models::Part::vae);
  return network::TargetModel::mmdit;
}

std::map<std::string, TargetPiece> target_pieces(const io::SafetensorsFile& file,
                                                 const std::vector<models::Part>& parts, bool embedded) {
  std::map<std::string, TargetPiece> found;
  for (const auto part : parts) {
    const auto names = models::find_part(part, file.names(), embedded);
    if (!names) continue;
    for (const auto& [plain, source] : *names) {
      if (!plain.ends_with(kWeight)) continue;
      const std::string path = plain.substr(0, plain.size() - kWeight.size());
      if (file.info(source.pieces.front()).shape.size() < 2) continue;  // a norm
      int64_t rows = 0;
      for (const auto& piece : source.pieces) {
        found[piece] = {network::module_name(target_model(part), path), rows, 0, source.swap_halves};
        rows += file.info(piece).shape.at(0);
      }
      for (const auto& piece : source.pieces) found[piece].layer_rows = rows;
    }
  }
  return found;
}

}  // namespace loraptor::pipeline
