// The parsers of untrusted files, each fed with arbitrary bytes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace loraptor::fuzz {

/// A parser under test. It may refuse its input by an error of ours (base/error.h); whatever else happens is a bug:
/// another exception, a crash, a hang, memory out of proportion.
struct Target {
  const char* name;
  void (*run)(std::string_view bytes);
};

/// config      the description of data sets, TOML and JSON
/// records     lists of images and what folders remember: metadata files, caches of captions and sizes, scan index
/// npz         archives, and the caches of latents and text outputs made of them
/// image       headers of all image formats; small images are decoded too
/// safetensors headers, and every tensor of the file
/// caption     caption files, all caption transforms, CLIP's repairs and (where the vocabularies are) the tokenizers
/// prompt      prompt files, read as text, TOML and JSON
const std::vector<Target>& targets();

/// nullptr if there is none of that name.
const Target* find_target(std::string_view name);

/// Runs the target and swallows errors of ours.
void run_target(const Target& target, std::string_view bytes);

/// The folder that inputs are written to for parsers that read files; set it before the first run.
void set_work_folder(std::filesystem::path folder);

}  // namespace loraptor::fuzz
