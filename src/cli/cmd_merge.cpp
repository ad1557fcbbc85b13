// `loraptor merge`: LoRAs into a checkpoint, or several LoRAs into one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command_options.h"
#include "cli/output_files.h"
#include "network/lora_resize.h"
#include "pipeline/checkpoint_merge.h"
#include "tensor/dtype.h"
#include "train/observers.h"

namespace loraptor::cli {
namespace {

using models::Part;

struct MergeArgs {
  std::optional<std::string> checkpoint, checkpoint_other_name, save_to;
  std::optional<std::string> clip_l, clip_l_save_to, clip_g, clip_g_save_to, t5xxl, t5xxl_save_to;
  std::vector<std::string> models;
  std::vector<double> ratios;
  std::string precision = "float";
  std::optional<std::string> save_precision;
  bool concat = false, shuffle = false, no_metadata = false;
  std::optional<int64_t> new_rank;
};

void add_options(CommandOptions& options, MergeArgs& args) {
  options.add(
      "--sd3_checkpoint", &args.checkpoint,
      "Checkpoint to merge into; its embedded text encoders are merged too. Without it the LoRAs become one LoRA.");
  options.add("--pretrained_model_name_or_path", &args.checkpoint_other_name, "The same as --sd3_checkpoint.");
  options.add("--models", &args.models, "LoRA files.");
  options.add("--ratios", &args.ratios, "How strongly each of them counts. Without it: 1.");
  options.add("--save_to", &args.save_to, "File to write.");
  options.add("--clip_l", &args.clip_l, "CLIP-L file to merge into.");
  options.add("--clip_l_save_to", &args.clip_l_save_to, "File to write for --clip_l.");
  options.add("--clip_g", &args.clip_g, "CLIP-G file to merge into.");
  options.add("--clip_g_save_to", &args.clip_g_save_to, "File to write for --clip_g.");
  options.add("--t5xxl", &args.t5xxl, "T5-XXL file to merge into.");
  options.add("--t5xxl_save_to", &args.t5xxl_save_to, "File to write for --t5xxl.");
  options.add("--precision", &args.precision, "Precision of products and sums.", precision_names());
  options.add("--save_precision", &args.save_precision,
              "Precision of all float tensors of the new files. Without it: as in the checkpoint; float for a LoRA.",
              precision_names());
  options.add("--concat", &args.concat,
              "LoRAs into one: put their ranks side by side, which is exact (the default). Not with --new_rank.");
  options.add("--new_rank", &args.new_rank, "LoRAs into one: cut the result to this rank, to the nearest products.");
  options.add("--shuffle", &args.shuffle, "LoRAs into one: put the ranks in a random order. Products stay the same.");
  options.add("--no_metadata", &args.no_metadata, "Write a checkpoint without metadata, a LoRA with the least.");
}

void check(const MergeArgs& args, bool into_checkpoint) {
  std::vector<std::string> problems;
  if (args.checkpoint && args.checkpoint_other_name) {
    problems.push_back("[--sd3_checkpoint] and --pretrained_model_name_or_path: got both, expected one checkpoint.");
  }
  const auto lora_only = [&](bool given, const char* flag) {
    if (given && into_checkpoint) {
      problems.push_back(fmt::format("[{}] got it together with a checkpoint, expected it for LoRAs into one.", flag));
    }
  };
  lora_only(args.concat, "--concat");
  lora_only(args.new_rank.has_value(), "--new_rank");
  lora_only(args.shuffle, "--shuffle");
  if (!into_checkpoint && args.precision != "float") {
    problems.push_back(fmt::format("[--precision] got {}, expected float: LoRAs are joined in it.", args.precision));
  }
  if (args.concat && args.new_rank) problems.push_back("[--concat] and --new_rank: got both, expected one of them.");
  if (args.new_rank && *args.new_rank < 1) {
    problems.push_back(fmt::format("[--new_rank] got {}, expected at least 1.", *args.new_rank));
  }
  const std::tuple<const char*, bool, bool> pairs[] = {
      {"clip_l", args.clip_l.has_value(), args.clip_l_save_to.has_value()},
      {"clip_g", args.clip_g.has_value(), args.clip_g_save_to.has_value()},
      {"t5xxl", args.t5xxl.has_value(), args.t5xxl_save_to.has_value()}};
  for (const auto& [name, from, to] : pairs) {
    if (from != to) problems.push_back(fmt::format("[--{0}] and --{0}_save_to: got one of them, expected both.", name));
  }
  if (!problems.empty()) throw UsageError(fmt::format("{}", fmt::join(problems, "\n")));
}

void check_files(const MergeArgs& args) {
  std::vector<NamedFile> inputs, outputs;
  add_file(inputs, "--sd3_checkpoint", args.checkpoint);
  add_file(inputs, "--pretrained_model_name_or_path", args.checkpoint_other_name);
  add_file(inputs, "--clip_l", args.clip_l);
  add_file(inputs, "--clip_g", args.clip_g);
  add_file(inputs, "--t5xxl", args.t5xxl);
  for (const auto& model : args.models) add_file(inputs, "--models", model);
  add_file(outputs, "--save_to", args.save_to);
  add_file(outputs, "--clip_l_save_to", args.clip_l_save_to);
  add_file(outputs, "--clip_g_save_to", args.clip_g_save_to);
  add_file(outputs, "--t5xxl_save_to", args.t5xxl_save_to);
  check_outputs(inputs, outputs);
}

/// The files to be rewritten.
std::vector<pipeline::CheckpointMerge> jobs(const MergeArgs& args) {
  std::vector<pipeline::CheckpointMerge> list;
  const auto add = [&](const std::optional<std::string>& from, const std::optional<std::string>& to,
                       std::vector<Part> parts, bool embedded) {
    if (!from) return;
    pipeline::CheckpointMerge job;
    job.from = *from;
    job.to = *to;
    job.parts = std::move(parts);
    job.embedded = embedded;
    job.precision = tensor::dtype_from_precision(args.precision, "--precision");
    if (args.save_precision)
      job.save_precision = tensor::dtype_from_precision(*args.save_precision, "--save_precision");
    job.keep_metadata = !args.no_metadata;
    list.push_back(std::move(job));
  };
  const auto& checkpoint = args.checkpoint ? args.checkpoint : args.checkpoint_other_name;
  if (checkpoint) required(args.save_to, "--save_to", "the file to write");
  add(checkpoint, args.save_to, {Part::mmdit, Part::clip_l, Part::clip_g, Part::t5xxl}, true);
  add(args.clip_l, args.clip_l_save_to, {Part::clip_l}, false);
  add(args.clip_g, args.clip_g_save_to, {Part::clip_g}, false);
  add(args.t5xxl, args.t5xxl_save_to, {Part::t5xxl}, false);
  return list;
}

void merge_into_files(const MergeArgs& args, const std::vector<network::WeightedLora>& loras) {
  std::set<std::string> used;
  const StopSignals signals(kStopNotice);
  for (const auto& job : jobs(args)) {
    const Stopwatch watch;
    train::StageProgress progress("MB written");
    constexpr uint64_t kMegabyte = 1'000'000;
    const auto report = merge_into_checkpoint(job, loras, [&](uint64_t done, uint64_t total) {
      leave_if_stopped(signals, fmt::format("{} was not written", job.to.string()));
      progress.update(static_cast<int64_t>(done / kMegabyte), static_cast<int64_t>(total / kMegabyte));
    });
    used.insert(report.modules.begin(), report.modules.end());
    log::info("{}: {} tensors changed, {:.1f} s", job.to.string(), report.changed, watch.seconds());
  }
  for (const auto& lora : loras) {
    std::vector<std::string> unused;
    for (const auto& name : lora.module_names()) {
      if (used.count(name) == 0) unused.push_back(name);
    }
    if (unused.empty()) continue;
    log::warn("[{}] {} modules match no layer of the files that were merged into, left out (first: {}).",
              lora.file.path.string(), unused.size(), unused.front());
  }
}

void merge_into_one(const MergeArgs& args, const std::vector<network::WeightedLora>& loras) {
  const auto save_to = required(args.save_to, "--save_to", "the file to write");
  auto modules = network::concat_loras(loras);
  if (args.new_rank) modules = network::resize_modules(modules, {.new_rank = *args.new_rank}, {});
  if (args.shuffle) network::shuffle_ranks(modules, 0);
  const auto dtype = tensor::dtype_from_precision(args.save_precision.value_or("float"), "--save_precision");
  io::Metadata metadata = network::merged_metadata(loras, modules, std::filesystem::path(save_to).stem().string());
  if (args.no_metadata) {
    std::erase_if(metadata, [](const auto& item) { return item.first.starts_with("modelspec."); });
  }
  write_lora(save_to, network::lora_tensors(modules, dtype), std::move(metadata));
  log::info("{}: {} LoRAs, {} modules", save_to, loras.size(), modules.size());
}

}  // namespace

int run_merge(const Words& words) {
  MergeArgs args;
  CommandOptions options("merge [--sd3_checkpoint FILE] --models LORA... [--ratios X...] --save_to FILE",
                         "Writes LoRAs into the weights of a checkpoint, or joins several LoRAs to one.\n");
  add_options(options, args);
  if (!options.parse(words)) return 0;
  const bool into_checkpoint =
      args.checkpoint || args.checkpoint_other_name || args.clip_l || args.clip_g || args.t5xxl;
  check(args, into_checkpoint);
  check_files(args);
  const auto loras = network::read_weighted_loras(args.models, args.ratios);
  into_checkpoint ? merge_into_files(args, loras) : merge_into_one(args, loras);
  return 0;
}

}  // namespace loraptor::cli
