// `loraptor extract`: a LoRA out of the difference of two checkpoints.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/log.h"
#include "cli/command_options.h"
#include "cli/output_files.h"
#include "models/sd3_variant.h"
#include "network/lora_concat.h"
#include "pipeline/lora_extract.h"
#include "tensor/device.h"
#include "tensor/dtype.h"
#include "train/observers.h"

namespace loraptor::cli {
namespace {

struct ExtractArgs {
  std::optional<std::string> original, tuned, save_to, precision;
  std::string device = "cpu";
  int64_t dim = 4;
  double clamp_quantile = 1, min_diff = 0;
  bool exact_svd = false, no_metadata = false;
};

void add_options(CommandOptions& options, ExtractArgs& args) {
  options.add("--model_org", &args.original, "Original checkpoint.");
  options.add("--model_tuned", &args.tuned, "Tuned checkpoint; the LoRA leads from the original to it.");
  options.add("--save_to", &args.save_to, "File to write.");
  options.add("--dim", &args.dim, "Rank of each module.");
  options.add("--save_precision", &args.precision, "Precision of the new file. Without it: float.", precision_names());
  options.add("--clamp_quantile", &args.clamp_quantile,
              "Clamp the values of each module beyond this quantile. 1: no clamping (the reference's tool: 0.99, which "
              "changes the result).");
  options.add("--min_diff", &args.min_diff, "Leave out layers in which no weight differs by more than this.");
  options.add("--device", &args.device, "Where the decompositions are computed: cpu or cuda.");
  options.add("--exact_svd", &args.exact_svd,
              "Decompose large layers completely too; without it an iteration finds the leading part, to 1e-7 of the "
              "squared norm.");
  options.add("--no_metadata", &args.no_metadata, "Write the least metadata only.");
}

pipeline::LoraExtract make_job(const ExtractArgs& args) {
  pipeline::LoraExtract job;
  job.original = required(args.original, "--model_org", "the original checkpoint");
  job.tuned = required(args.tuned, "--model_tuned", "the tuned checkpoint");
  if (args.dim < 1) throw UsageError(fmt::format("[--dim] got {}, expected at least 1.", args.dim));
  if (!(args.clamp_quantile > 0 && args.clamp_quantile <= 1)) {
    throw UsageError(fmt::format("[--clamp_quantile] got {}, expected more than 0, at most 1.", args.clamp_quantile));
  }
  if (!std::isfinite(args.min_diff)) {
    throw UsageError(fmt::format("[--min_diff] got {}, expected a finite number.", args.min_diff));
  }
  job.dim = args.dim;
  job.clamp_quantile = args.clamp_quantile;
  job.min_diff = args.min_diff;
  job.method = args.exact_svd ? network::SvdMethod::exact : network::SvdMethod::automatic;
  job.device = tensor::named_device(args.device, "--device");
  return job;
}

/// "medium", "5-medium", "5-large", or nothing where the file has no MMDiT.
std::optional<std::string> model_type(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  const auto names = models::find_part(models::Part::mmdit, file->names(), true);
  if (!names) return std::nullopt;
  return models::detect_variant(models::PartReader(file, "mmdit", *names, {})).type_name();
}

io::Metadata make_metadata(const ExtractArgs& args, const std::optional<std::string>& type,
                           const std::map<std::string, network::LoraPair>& modules) {
  io::Metadata metadata = network::network_size_metadata(modules);
  metadata["ss_v2"] = "False";
  metadata["ss_network_module"] = "networks.lora";
  metadata["ss_network_args"] = "{}";
  if (type) metadata["ss_base_model_version"] = *type;
  if (args.no_metadata) return metadata;
  metadata["modelspec.sai_model_spec"] = "1.0.1";
  if (type) metadata["modelspec.architecture"] = "stable-diffusion-3-" + *type + "/lora";
  metadata["modelspec.implementation"] = "diffusers";
  metadata["modelspec.implementation_version"] = std::string("loraptor/") + LORAPTOR_VERSION;
  metadata["modelspec.title"] = std::filesystem::path(*args.save_to).stem().string();
  metadata["modelspec.date"] = local_time_iso();
  return metadata;
}

}  // namespace

int run_extract(const Words& words) {
  ExtractArgs args;
  CommandOptions options(
      "extract --model_org FILE --model_tuned FILE --save_to FILE --dim N",
      "Writes the LoRA that is nearest to the difference of two checkpoints, for the MMDiT and for text\n"
      "encoders that both files hold.\n");
  add_options(options, args);
  if (!options.parse(words)) return 0;
  const auto save_to = required(args.save_to, "--save_to", "the file to write");
  const auto job = make_job(args);
  check_outputs({{"--model_org", job.original}, {"--model_tuned", job.tuned}}, {{"--save_to", save_to}});
  keep_freed_memory();
  const auto dtype = tensor::dtype_from_precision(args.precision.value_or("float"), "--save_precision");
  const auto type = model_type(*args.original);  // before the long work, as it may throw
  train::StageProgress progress("layers extracted");
  const Stopwatch watch;
  const auto modules = pipeline::extract_lora(job, [&](int64_t done, int64_t total) { progress.update(done, total); });
  write_lora(save_to, network::lora_tensors(modules, dtype), make_metadata(args, type, modules));
  log::info("{}: {} modules of rank {} in {:.1f} s", save_to, modules.size(), args.dim, watch.seconds());
  return 0;
}

}  // namespace loraptor::cli
