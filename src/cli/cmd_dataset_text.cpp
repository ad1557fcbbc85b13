#include "cli/cmd_dataset_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace loraptor::cli {
namespace {

constexpr size_t kFilesOfNote = 10;
constexpr size_t kTagsPrinted = 20;

std::string dataset_heading(const data::DatasetPart& part, int64_t number) {
  const data::DatasetConfig& config = part.config;
  std::string buckets = "no buckets";
  if (config.enable_bucket) {
    buckets = fmt::format("bucket sides {} to {} in steps of {}", part.bucket_config.min_side,
                          part.bucket_config.max_side, part.bucket_config.step);
    if (config.bucket_no_upscale)
      buckets = fmt::format("buckets from the images, in steps of {}", part.bucket_config.step);
  }
  return fmt::format("Data set {}: resolution {}, batch size {}, {}\n", number, data::to_string(*config.resolution),
                     config.batch_size, buckets);
}

std::string subsets_text(const std::vector<pipeline::SubsetSummary>& subsets, int64_t dataset) {
  std::string text = fmt::format("  {:>8} {:>8} {:>9} {:>9}  subset\n", "images", "repeats", "set aside", "an epoch");
  for (const auto& subset : subsets) {
    if (subset.dataset != dataset) continue;
    text += fmt::format("  {:>8} {:>8} {:>9} {:>9}  {}{}\n", subset.images, subset.repeats, subset.set_aside,
                        subset.samples, subset.source, subset.is_reg ? " (regularisation)" : "");
  }
  return text;
}

std::string buckets_text(const std::vector<pipeline::BucketSummary>& buckets, const data::DatasetPart& part,
                         int64_t dataset) {
  std::string text = fmt::format("  {:>11} {:>8} {:>9} {:>8}\n", "bucket", "images", "an epoch", "batches");
  for (const auto& bucket : buckets) {
    if (bucket.dataset != dataset) continue;
    text += fmt::format("  {:>11} {:>8} {:>9} {:>8}\n", data::to_string(bucket.size), bucket.images.size(),
                        bucket.samples, bucket.batches);
  }
  if (part.mean_ratio_error) text += fmt::format("  mean error of the aspect ratio: {:.4f}\n", *part.mean_ratio_error);
  return text;
}

std::string lengths_text(const pipeline::DatasetReport& report) {
  if (report.lengths.empty() || report.lengths[0].tokens.empty()) return "";
  std::string text = fmt::format("Captions in tokens, start and end included\n  {:>8} {:>8} {:>8} {:>8} {:>8}\n",
                                 "encoder", "median", "longest", "limit", "cut");
  for (const auto& lengths : report.lengths) {
    std::vector<int64_t> sorted = lengths.tokens;
    std::sort(sorted.begin(), sorted.end());
    text += fmt::format("  {:>8} {:>8} {:>8} {:>8} {:>8}\n", lengths.encoder, sorted[sorted.size() / 2], sorted.back(),
                        lengths.limit, lengths.cut());
  }
  return text;
}

std::string tags_text(const report::TagCounts& tags) {
  if (tags.empty()) return "";
  std::string text = fmt::format("Most frequent tags of {}\n", tags.size());
  for (size_t i = 0; i < std::min(tags.size(), kTagsPrinted); ++i) {
    text += fmt::format("  {:>8}  {}\n", tags[i].second, tags[i].first);
  }
  return text;
}

std::string finding_text(const pipeline::Finding& finding, bool all_files) {
  std::string text = fmt::format("{}: {}\n", finding.is_problem ? "PROBLEM" : "note", finding.text);
  const size_t shown =
      finding.is_problem || all_files ? finding.files.size() : std::min(finding.files.size(), kFilesOfNote);
  for (size_t i = 0; i < shown; ++i) text += fmt::format("  {}\n", finding_line(finding.files[i]));
  if (shown < finding.files.size()) {
    text += fmt::format("  and {} more; --all_files names them\n", finding.files.size() - shown);
  }
  return text;
}

std::string counted(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

std::string finding_line(const data::FileFinding& file) {
  std::string text = file.text;
  // Messages of errors begin with their file.
  if (!text.starts_with('[')) text = text.empty() ? file.path : file.path + ": " + text;
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) text[at] = ' ';
  return text;
}

std::string findings_count(const pipeline::DatasetReport& report) {
  const int64_t problems = report.problems();
  return counted(problems, "problem") + " and " +
         counted(static_cast<int64_t>(report.findings.size()) - problems, "note");
}

report::TagCounts tag_counts(const data::Dataset& dataset) {
  std::map<std::string, int64_t> counts;
  for (const data::DatasetPart& part : dataset.parts()) {
    for (const auto& [source, tags] : part.tag_frequency()) {
      for (const auto& [tag, count] : tags) counts[tag] += count;
    }
  }
  report::TagCounts sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

std::string dataset_text(const pipeline::DatasetReport& report, bool all_files) {
  const data::Dataset& training = report.groups.training;
  const auto subsets = pipeline::summarize_subsets(report.groups);
  const auto buckets = pipeline::summarize_buckets(training);
  std::string text;
  for (size_t i = 0; i < training.parts().size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const data::DatasetPart& part = training.parts()[i];
    text += dataset_heading(part, number) + subsets_text(subsets, number) + buckets_text(buckets, part, number) + "\n";
  }
  for (const std::string& block : {lengths_text(report), tags_text(tag_counts(training))}) {
    if (!block.empty()) text += block + "\n";
  }
  for (const auto& finding : report.findings) text += finding_text(finding, all_files) + "\n";
  int64_t samples = 0;
  for (const auto& bucket : buckets) samples += bucket.samples;
  const std::string aside =
      report.groups.validation.images().empty()
          ? ""
          : fmt::format("; {} set aside for validation", report.groups.validation.images().size());
  return text + fmt::format("{}, {} and {} an epoch{}. {}.\n",
                            counted(static_cast<int64_t>(training.images().size()), "image"),
                            counted(samples, "sample"),
                            training.batches_per_epoch() == 1 ? "1 batch"
                                                              : fmt::format("{} batches", training.batches_per_epoch()),
                            aside, findings_count(report));
}

}  // namespace loraptor::cli
