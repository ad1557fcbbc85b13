#include "models/model_files.h"

#include <fmt/format.h>

#include "base/error.h"

namespace loraptor::models {
namespace fs = std::filesystem;
namespace {

constexpr Part kParts[] = {Part::mmdit, Part::vae, Part::clip_l, Part::clip_g, Part::t5xxl};

std::string flag_of(Part part) {
  return part == Part::mmdit ? "--pretrained_model_name_or_path" : "--" + part_name(part);
}

std::string description(Part part) {
  switch (part) {
    case Part::mmdit: return "the diffusion transformer";
    case Part::vae: return "the VAE";
    case Part::clip_l: return "the text encoder CLIP-L";
    case Part::clip_g: return "the text encoder CLIP-G";
    case Part::t5xxl: return "the text encoder T5-XXL";
  }
  return "";
}

std::shared_ptr<const io::SafetensorsFile> open_file(const std::string& flag, const std::string& path, bool map) {
  if (fs::is_directory(path)) {
    throw UsageError(fmt::format(
        "[{}] '{}' is a folder: got a folder, expected one .safetensors file.\nHint: name the file inside it.", flag,
        path));
  }
  if (!fs::exists(path)) {
    throw FileError(path,
                    fmt::format("there is no such file (from {}): got nothing, expected a .safetensors file.", flag));
  }
  return io::SafetensorsFile::open(path, map);
}

/// What the file seems to hold instead, as a hint.
std::string other_parts(const io::SafetensorsFile& file, Part wanted) {
  std::string list;
  for (Part part : kParts) {
    if (part != wanted && find_part(part, file.names(), false)) list += (list.empty() ? "" : ", ") + description(part);
  }
  return list.empty() ? "" : "\nHint: it looks like a file with " + list + ".";
}

}  // namespace

ModelFiles ModelFiles::open(const ModelConfig& config) {
  if (!config.pretrained_model_name_or_path || config.pretrained_model_name_or_path->empty()) {
    throw UsageError(
        "[--pretrained_model_name_or_path] no base model: got nothing, expected the .safetensors file of an SD3 or "
        "SD3.5 "
        "checkpoint.");
  }
  const bool map = !config.disable_mmap_load_safetensors;
  ModelFiles files;
  files.memory_map_ = map;
  files.main_ = open_file(flag_of(Part::mmdit), *config.pretrained_model_name_or_path, map);
  const std::pair<Part, const std::optional<std::string>*> given[] = {{Part::vae, &config.vae},
                                                                      {Part::clip_l, &config.clip_l},
                                                                      {Part::clip_g, &config.clip_g},
                                                                      {Part::t5xxl, &config.t5xxl}};
  for (const auto& [part, path] : given) {
    if (*path && !(*path)->empty()) files.own_[part] = {**path, open_file(flag_of(part), **path, map)};
  }
  return files;
}

ModelFiles::Source ModelFiles::find(Part part) const {
  const auto own = own_.find(part);
  if (own != own_.end()) {
    const auto file = opened(part, own->second);
    auto names = find_part(part, file->names(), false);
    if (names) return {file, std::move(*names)};
    throw FileError(file->path(), fmt::format("this file ({}) does not hold {}: got {} other tensors.{}", flag_of(part),
                                              description(part), file->names().size(), other_parts(*file, part)));
  }
  auto names = find_part(part, main_->names(), true);
  if (names) return {main_, std::move(*names)};
  if (part == Part::mmdit) {
    throw FileError(main_->path(), fmt::format("{} is not in this file: got {} other tensors, expected names like "
                                               "'model.diffusion_model.x_embedder.proj.weight'.{}",
                                               description(part), main_->names().size(), other_parts(*main_, part)));
  }
  throw UsageError(fmt::format("[{}] {} is missing: got no file, and '{}' has no copy of it.\nHint: give {} FILE.",
                               flag_of(part), description(part), main_->path().string(), flag_of(part)));
}

bool ModelFiles::has(Part part) const {
  const auto own = own_.find(part);
  return own != own_.end() ? find_part(part, opened(part, own->second)->names(), false).has_value()
                           : find_part(part, main_->names(), true).has_value();
}

PartReader ModelFiles::part(Part part, LoadOptions options) const {
  Source source = find(part);
  return PartReader(std::move(source.file), part_name(part), std::move(source.names), options);
}

fs::path ModelFiles::path(Part part) const { return find(part).file->path(); }

void ModelFiles::close(Part part) {
  const auto own = own_.find(part);
  if (own != own_.end()) own->second.file.reset();
}

std::shared_ptr<const io::SafetensorsFile> ModelFiles::opened(Part part, const Own& own) const {
  return own.file ? own.file : open_file(flag_of(part), own.path.string(), memory_map_);
}

}  // namespace loraptor::models
