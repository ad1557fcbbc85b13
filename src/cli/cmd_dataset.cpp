// `loraptor dataset`: what a run would train on, and everything that is wrong with it, without a model.
#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/cmd_dataset_text.h"
#include "cli/command.h"
#include "cli/config_build.h"
#include "cli/help.h"
#include "cli/log_setup.h"
#include "cli/option_parse.h"
#include "cli/option_table.h"
#include "train/dataset_check.h"
#include "train/observers.h"

namespace loraptor::cli {
namespace {

constexpr int kProblemsFound = 1;

std::vector<Option> own_options() {
  const auto row = [](const char* name, Kind kind, Value default_value, const char* help) {
    Option option{.name = name, .kind = kind, .default_value = std::move(default_value), .help = help};
    option.is_addition = true;
    return option;
  };
  return {row("html", Kind::text, {}, "Write a page with contact sheets and plots to this file."),
          row("images_per_bucket", Kind::integer, int64_t{24}, "Images of each bucket on the page."),
          row("headers_only", Kind::flag, false, "Do not decode and compare the image files: fast on large sets."),
          row("all_files", Kind::flag, false, "Name all files of notes too, not only the first ten.")};
}

/// Takes an own option out of what goes to the settings of the run.
template <class T>
std::optional<T> take(GivenOptions& given, const char* name) {
  const auto found = given.find(name);
  if (found == given.end()) return std::nullopt;
  T value = std::get<T>(found->second.value);
  given.erase(found);
  return value;
}

/// What is wrong between the data and other settings, such as a cache of images that change.
void add_setting_problems(const TrainConfig& config, pipeline::DatasetReport& report) {
  try {
    train::check_dataset(config, report.groups.training);
  } catch (const UsageError& error) {
    report.findings.insert(report.findings.begin(), {true, error.what(), {}});
  }
}

pipeline::DatasetReport examine(const TrainConfig& config, bool headers_only) {
  std::string stage;
  std::optional<train::StageProgress> progress;
  const bool has_seed = config.origins.count("seed") != 0;
  auto report = pipeline::examine_dataset(
      config.data,
      {.seed = has_seed ? static_cast<uint64_t>(config.loop.seed.value_or(0)) : 0,
       .headers_only = headers_only,
       .stored_captions = config.cache.cache_text_encoder_outputs && config.cache.cache_text_encoder_variants == 0,
       .t5_length = config.model.t5xxl_max_token_length,
       .tokenizers = text::default_tokenizer_search({}, config.model.tokenizer_cache_dir.value_or("")),
       .progress = [&](const std::string& what, int64_t done, int64_t total) {
         if (what != stage) progress.emplace(stage = what);
         progress->update(done, total);
       }});
  add_setting_problems(config, report);
  return report;
}

std::string title_of(const data::DataConfig& data) {
  const std::string path = data.dataset_config.value_or(data.in_json.value_or(data.train_data_dir.value_or("")));
  return std::filesystem::path(path).filename().string();
}

/// CONFIG is another way to give --dataset_config.
void set_description(ParsedWords& parsed) {
  if (parsed.plain.empty()) return;
  if (parsed.plain.size() > 1) {
    throw UsageError(
        fmt::format("[dataset] description: got {} and {}, expected one.", parsed.plain[0], parsed.plain[1]));
  }
  if (parsed.options.count("dataset_config") != 0) {
    throw UsageError(
        fmt::format("[dataset] description: got {} and --dataset_config, expected one of the two.", parsed.plain[0]));
  }
  parsed.options["dataset_config"] = {parsed.plain[0], "command line"};
}

void print_help() {
  fmt::print(
      "usage: loraptor dataset [CONFIG] [options]\n\n"
      "Says what a run with these options would train on, without loading a model: subsets, buckets, caption\n"
      "lengths, and every problem with its file. CONFIG is a data set file (.toml, .json); without one, or beside\n"
      "one, the options of training count, also --config_file.\n"
      "Exit status: 0 nothing is wrong (notes do not count), 1 there are problems, 2 wrong usage, 3 wrong file.\n\n"
      "{}\nOptions of training\n\n{}",
      options_help(own_options()), help_text());
}

}  // namespace

int run_dataset(const Words& words) {
  std::vector<Option> options = all_options();
  for (Option& option : own_options()) options.push_back(std::move(option));
  ParsedWords parsed = parse_words(words, options, true);
  if (parsed.wants_help) {
    print_help();
    return 0;
  }
  set_description(parsed);
  const auto html = take<std::string>(parsed.options, "html");
  const int64_t per_bucket = take<int64_t>(parsed.options, "images_per_bucket").value_or(24);
  if (per_bucket < 0) {
    throw UsageError(fmt::format("[--images_per_bucket] value: got {}, expected 0 or more.", per_bucket));
  }
  const bool headers_only = take<bool>(parsed.options, "headers_only").value_or(false);
  const bool all_files = take<bool>(parsed.options, "all_files").value_or(false);
  // Neither a model nor an output folder has to be given.
  parsed.options["debug_dataset"] = {true, "loraptor dataset"};
  const BuiltConfig built = build_config(parsed.options);
  log::configure(log_config(built.config.logging));
  for (const std::string& warning : built.warnings) log::warn("{}", warning);
  const pipeline::DatasetReport report = examine(built.config, headers_only);
  fmt::print("{}", dataset_text(report, all_files));
  if (html) {
    write_file(*html, report::dataset_page_html(dataset_page(report, title_of(built.config.data), per_bucket)));
    log::info("page written to {}", *html);
  }
  return report.problems() > 0 ? kProblemsFound : 0;
}

}  // namespace loraptor::cli
