// Prompt files: which images to make.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flow/euler_sampler.h"

namespace loraptor::pipeline {

/// One image to make.
struct SamplePrompt {
  std::string prompt;
  std::string negative_prompt;
  int64_t width = 512;   // px, a multiple of 16, at least 64
  int64_t height = 512;  // px, likewise
  int64_t steps = 30;
  double scale = 7.5;           // guidance
  std::optional<int64_t> seed;  // unset: a fresh one each time
  flow::SkipLayerGuidance slg;  // off; for SD3.5 Medium
};

/// Reads a line like "a cat --w 768 --h 512 --d 1 --s 28 --l 4.5 --n blurry".
/// Options follow the prompt, each after " --": w, h (size), d (seed), s (steps, 1..1000), l (guidance), n (negative
/// prompt), slg_scale, slg_layers (numbers with commas), slg_start, slg_end, in any case of letters; g, ss, cn, ctr,
/// rcfg, fs have no effect. These and what is not understood are skipped with a warning, once a text. The
/// prompt itself is never read as an option.
///   where   names the source in warnings. Ref: sd-scripts@48d368f library/train_util.py:line_to_prompt_dict.
SamplePrompt parse_prompt_line(std::string_view line, const std::string& where = "sample prompt");

/// Reads a prompt file; the place in the list is the number of the image.
///   .txt    UTF-8, one prompt a line; empty lines and lines that begin with # are skipped
///   .toml   table `prompt` with common keys and an array `prompt.subset` whose keys win over them
///   .json   array of lines or of objects
/// Keys of tables and objects: prompt, negative_prompt, width, height, sample_steps, scale, seed, slg_scale, slg_layers
/// (a list), slg_start, slg_end; others are skipped with a warning. Sides are rounded down to multiples of 16, at least
/// 64, with a warning; so is a file without any prompt. Throws FileError if the file is missing, malformed or no UTF-8,
/// UsageError for another extension. Ref: sd-scripts@48d368f library/train_util.py:load_prompts.
std::vector<SamplePrompt> read_prompt_file(const std::filesystem::path& path);

/// Numbers with commas between them, as "7,8,9"; nothing if it is no such list.
std::optional<std::vector<int64_t>> parse_layers(const std::string& text);

}  // namespace loraptor::pipeline
