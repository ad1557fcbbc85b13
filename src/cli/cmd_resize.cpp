// `loraptor resize`: a LoRA with fewer ranks.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/python_format.h"
#include "cli/command_options.h"
#include "cli/output_files.h"
#include "network/lora_concat.h"
#include "network/lora_resize.h"
#include "tensor/dtype.h"

namespace loraptor::cli {
namespace {

struct ResizeArgs {
  std::optional<std::string> model, save_to, precision, method;
  std::optional<double> parameter;
  int64_t new_rank = 4;
  bool verbose = false;
};

network::ResizeOptions resize_options(const ResizeArgs& args) {
  if (args.new_rank < 1) throw UsageError(fmt::format("[--new_rank] got {}, expected at least 1.", args.new_rank));
  if (args.method.has_value() != args.parameter.has_value()) {
    throw UsageError("[--dynamic_method] and --dynamic_param: got one of them, expected both or none.");
  }
  if (args.parameter && !(*args.parameter > 0)) {
    throw UsageError(fmt::format("[--dynamic_param] got {}, expected more than 0.", *args.parameter));
  }
  return {args.new_rank, network::rank_rule(args.method), args.parameter.value_or(0)};
}

/// Ref: sd-scripts@48d368f networks/resize_lora.py:resize.
void tell_in_metadata(io::Metadata& metadata, const ResizeArgs& args, int64_t old_rank,
                      const std::map<std::string, network::LoraPair>& modules) {
  const std::string comment = metadata["ss_training_comment"];
  const auto sizes = network::network_size_metadata(modules);
  for (const auto& [key, value] : sizes) metadata[key] = value;
  if (args.method) {
    metadata["ss_network_dim"] = metadata["ss_network_alpha"] = "Dynamic";
    metadata["ss_training_comment"] = fmt::format("Dynamic resize with {}: {} from {}; {}", *args.method,
                                                  python_repr(*args.parameter), old_rank, comment);
  } else {
    metadata["ss_training_comment"] =
        fmt::format("dimension is resized from {} to {}; {}", old_rank, args.new_rank, comment);
  }
}

}  // namespace

int run_resize(const Words& words) {
  ResizeArgs args;
  CommandOptions options(
      "resize --model FILE --save_to FILE --new_rank N",
      "Cuts the modules of a LoRA to fewer ranks: to the nearest products, never to more ranks than they\n"
      "have. The strength per rank (alpha / rank) stays. LoHa and LoKr become plain pairs.\n");
  options.add("--model", &args.model, "LoRA file.");
  options.add("--save_to", &args.save_to, "File to write.");
  options.add("--new_rank", &args.new_rank, "Rank of each module; with --dynamic_method the upper limit.");
  options.add("--dynamic_method", &args.method,
              "Choose the rank of each module by its singular values: sv_ratio keeps those greater than the greatest / "
              "parameter, sv_fro keeps the parameter's share of the Frobenius norm, sv_cumulative of their sum.",
              {"sv_ratio", "sv_fro", "sv_cumulative"});
  options.add("--dynamic_param", &args.parameter, "Parameter of --dynamic_method.");
  options.add("--save_precision", &args.precision, "Precision of the new file. Without it: float.", precision_names());
  options.add("--verbose", &args.verbose, "Print what is kept of each module.");
  if (!options.parse(words)) return 0;
  const auto path = required(args.model, "--model", "the LoRA file to resize");
  const auto save_to = required(args.save_to, "--save_to", "the file to write");
  const auto resize = resize_options(args);
  const auto dtype = tensor::dtype_from_precision(args.precision.value_or("float"), "--save_precision");
  check_outputs({{"--model", path}}, {{"--save_to", save_to}});
  const auto lora = network::read_any_lora(path);
  network::check_finite(lora);
  int64_t old_rank = 0;
  double sum = 0, squares = 0;
  const auto report = [&](const network::ResizedModule& module) {
    old_rank = std::max(old_rank, module.old_rank);
    sum += module.fro_retained;
    squares += module.fro_retained * module.fro_retained;
    if (!args.verbose) return;
    fmt::print("{:75} | rank {} -> {}, sum(S) retained: {:.1f}%, fro retained: {:.1f}%, max(S) ratio: {:.1f}\n",
               module.name, module.old_rank, module.new_rank, 100 * module.sum_retained, 100 * module.fro_retained,
               module.max_ratio);
  };
  const auto modules = network::resize_modules(lora, resize, report);
  auto metadata = lora.file.metadata;
  tell_in_metadata(metadata, args, old_rank, modules);
  write_lora(save_to, network::lora_tensors(modules, dtype), std::move(metadata));
  const double count = static_cast<double>(modules.size()), mean = sum / count;
  log::info("{}: {} modules, {:.2f}% of the Frobenius norm kept on average (standard deviation {:.3f})", save_to,
            modules.size(), 100 * mean, std::sqrt(std::max(squares / count - mean * mean, 0.0)));
  return 0;
}

}  // namespace loraptor::cli
