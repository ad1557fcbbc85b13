// `loraptor convert`: a LoRA file under the names of another program.
#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "cli/command_options.h"
#include "cli/output_files.h"
#include "network/lora_formats.h"
#include "network/peft_config.h"
#include "tensor/dtype.h"

namespace loraptor::cli {

int run_convert(const Words& words) {
  std::vector<std::string> files;
  std::optional<std::string> to, precision;
  CommandOptions options(
      "convert IN OUT [--to kohya|diffusers] [--save_precision float|fp16|bf16]",
      "Renames the tensors of a LoRA file: kohya's names (sd-scripts, ComfyUI) to those of diffusers and\n"
      "back; files of PEFT are read too. Products of the pairs and the metadata stay.\n");
  options.add("--to", &to, "Names of the new file. Without it: diffusers for a file of kohya, else kohya.",
              {"kohya", "diffusers"});
  options.add(
      "--save_precision", &precision,
      "Precision of the new file. Without it: float for diffusers' names, whose pairs hold the strength; else as in "
      "the file.",
      precision_names());
  options.add_words(files);
  if (!options.parse(words)) return 0;
  if (files.size() != 2) {
    throw UsageError(fmt::format("[convert] files: got {}, expected two: IN and OUT.", files.size()));
  }
  check_outputs({{"IN", files[0]}}, {{"OUT", files[1]}});
  const auto file = io::SafetensorsFile::open(files[0]);
  io::NamedTensors tensors;
  for (const auto& name : file->names()) tensors.emplace_back(name, file->tensor(name));
  using network::LoraFormat;
  const LoraFormat from = network::detect_format(tensors, files[0]);
  LoraFormat wanted = from == LoraFormat::kohya ? LoraFormat::diffusers : LoraFormat::kohya;
  if (to) wanted = *to == "kohya" ? LoraFormat::kohya : LoraFormat::diffusers;
  auto converted = network::convert_format(tensors, wanted, files[0], file->metadata());
  if (precision) {
    const auto dtype = tensor::dtype_from_precision(*precision, "--save_precision");
    for (auto& [name, tensor] : converted) tensor = tensor.to(dtype);
  }
  auto metadata = file->metadata();
  if (wanted != from) metadata.erase(network::kAdapterMetadata);  // the strength lies in the tensors now
  write_lora(files[1], converted, std::move(metadata));
  log::info("{} ({} names, {} tensors) -> {} ({} names, {} tensors)", files[0], network::format_name(from),
            tensors.size(), files[1], network::format_name(wanted), converted.size());
  return 0;
}

}  // namespace loraptor::cli
