// Files come first; what is built of the good ones is looked at afterwards.
#include "pipeline/dataset_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "data/cache_check.h"
#include "data/caption_transform.h"
#include "data/python_text.h"
#include "pipeline/dataset_report_files.h"

namespace loraptor::pipeline {
namespace {

using data::FileFinding;
using data::ImageEntry;

constexpr int64_t kClipTokens = 77;
constexpr double kMuchLarger = 2;  // images enlarged so much are problems

/// How many times its own width or height an image is resized to.
double enlargement(const ImageEntry& image) {
  const data::Size& resized = image.geometry.resized;
  return std::max(static_cast<double>(resized.width) / static_cast<double>(image.width),
                  static_cast<double>(resized.height) / static_cast<double>(image.height));
}

void check_enlargement(const data::Dataset& dataset, std::vector<Finding>& findings) {
  std::vector<FileFinding> much, little;
  for (const ImageEntry& image : dataset.images()) {
    const double factor = enlargement(image);
    if (factor <= 1) continue;
    const std::string text =
        fmt::format("{}, enlarged {:.2f} times for bucket {}", data::to_string({image.width, image.height}), factor,
                    data::to_string(image.geometry.bucket));
    (factor >= kMuchLarger ? much : little).push_back({std::string(image.path), text});
  }
  add_finding(findings, true, "images that are enlarged to twice their size or more", std::move(much));
  add_finding(findings, false, "images that are enlarged a little, being smaller than their bucket", std::move(little));
}

/// Such images share their caption and cache files.
void check_shared_names(const data::Dataset& dataset, std::vector<Finding>& findings) {
  std::map<std::string, const ImageEntry*> first;
  std::vector<FileFinding> shared;
  for (const ImageEntry& image : dataset.images()) {
    const auto [other, is_new] = first.emplace(data::without_extension(image.path), &image);
    if (is_new || other->second->path == image.path) continue;
    shared.push_back({std::string(image.path), fmt::format("beside '{}'", data::base_name(other->second->path))});
  }
  add_finding(findings, false,
              "images that differ from another only in their extension (they share caption and caches)",
              std::move(shared));
}

/// The caption as encoders get it; where it is drawn, a long one: nothing is dropped.
std::string longest_caption(const data::Dataset& dataset, const ImageEntry& image, bool is_stored) {
  if (is_stored) return std::string(image.caption);
  data::CaptionConfig config = dataset.subset_of(image).caption;
  config.caption_dropout_rate = config.caption_tag_dropout_rate = config.token_warmup_step = 0;
  config.caption_dropout_every_n_epochs = 0;
  data::PythonRandom random(0);
  return data::transform_caption(config, image.caption, {}, random);
}

std::vector<CaptionLengths> measure_captions(const data::Dataset& dataset, const text::Tokenizers& tokenizers,
                                             const DatasetReportOptions& options) {
  const auto count = static_cast<int64_t>(dataset.images().size());
  const std::vector<int64_t> none(static_cast<size_t>(count));
  std::vector<CaptionLengths> lengths{
      {"CLIP-L", kClipTokens, none}, {"CLIP-G", kClipTokens, none}, {"T5", options.t5_length, none}};
  const text::Tokenizer* encoders[] = {tokenizers.clip_l.get(), tokenizers.clip_g.get(), tokenizers.t5.get()};
  const auto measure = [&](int64_t i) {
    const ImageEntry& image = dataset.images()[static_cast<size_t>(i)];
    const std::string caption = longest_caption(dataset, image, options.stored_captions);
    for (size_t e = 0; e < lengths.size(); ++e) {
      lengths[e].tokens[static_cast<size_t>(i)] = static_cast<int64_t>(encoders[e]->encode(caption).size());
    }
  };
  run_in_threads(count, measure, [&](int64_t done) { options.progress("captions measured", done, count); });
  return lengths;
}

void check_captions(DatasetReport& report, const DatasetReportOptions& options) {
  try {
    report.lengths = measure_captions(report.groups.training, text::load_tokenizers(options.tokenizers), options);
  } catch (const UsageError& error) {
    report.findings.push_back({false, fmt::format("caption lengths are left out: {}", error.what())});
    return;
  }
  for (const CaptionLengths& lengths : report.lengths) {
    std::vector<FileFinding> cut;
    for (size_t i = 0; i < lengths.tokens.size(); ++i) {
      if (lengths.tokens[i] <= lengths.limit) continue;
      cut.push_back(
          {std::string(report.groups.training.images()[i].path), fmt::format("{} tokens", lengths.tokens[i])});
    }
    // T5 sees what the CLIP encoders do not; what T5 does not see either is lost.
    const bool is_last = &lengths == &report.lengths.back();
    add_finding(report.findings, is_last,
                fmt::format("captions longer than the {} tokens that {} takes{}", lengths.limit, lengths.encoder,
                            is_last ? " (no encoder sees their end)" : ""),
                std::move(cut));
  }
}

void check_caches(const data::DatasetGroups& groups, std::vector<Finding>& findings) {
  // The same image may be in several data sets.
  std::set<std::pair<std::string, std::string>> stale, damaged;
  for (const data::Dataset* dataset : {&groups.training, &groups.validation}) {
    for (const data::StaleCache& cache : data::stale_caches(*dataset)) {
      (cache.is_damaged_inside ? damaged : stale).emplace(cache.path.string(), cache.why);
    }
  }
  const auto add = [&](const std::string& text, const std::set<std::pair<std::string, std::string>>& found) {
    std::vector<FileFinding> files;
    for (const auto& [path, why] : found) files.push_back({path, why});
    add_finding(findings, true, text, std::move(files));
  };
  add("caches on disk that are stale or damaged (runs that use them make them again)", stale);
  add("caches on disk whose numbers are damaged (training stops at them; delete them, and runs make them again)",
      damaged);
}

void report_scan(data::ScanFindings found, std::vector<Finding>& findings) {
  std::vector<FileFinding> without_caption;
  for (std::string& path : found.without_caption) without_caption.push_back({std::move(path), ""});
  add_finding(findings, true, "images or captions that cannot be read (training stops at them)",
              std::move(found.unreadable));
  std::vector<FileFinding> turned;
  for (std::string& path : found.turned) turned.push_back({std::move(path), ""});
  add_finding(findings, false,
              "images with an EXIF orientation, which is ignored (they are trained as they are stored)",
              std::move(turned));
  add_finding(findings, true,
              "images that are not of the size in the name of their latent cache, which counts (encoded anew they are "
              "squeezed)",
              std::move(found.squeezed));
  add_finding(findings, true, "masks and images without their counterpart (training stops at them)",
              std::move(found.masks));
  add_finding(findings, true, "images without caption and class tokens (their caption is empty)",
              std::move(without_caption));
}

}  // namespace

int64_t CaptionLengths::cut() const {
  return std::count_if(tokens.begin(), tokens.end(), [this](int64_t count) { return count > limit; });
}

int64_t DatasetReport::problems() const {
  return std::count_if(findings.begin(), findings.end(), [](const Finding& finding) { return finding.is_problem; });
}

DatasetReport examine_dataset(const data::DataConfig& flags, const DatasetReportOptions& options) {
  data::ScanFindings found;
  data::ScannedDatasets scanned = data::scan_datasets(flags, &found);
  std::vector<Finding> findings;
  check_subsets(scanned, findings);
  check_unread_files(scanned, findings);
  report_scan(std::move(found), findings);
  int64_t compared = 0;
  if (!options.headers_only) {
    compared = check_image_files(scanned, findings,
                                 [&](int64_t done, int64_t total) { options.progress("images decoded", done, total); });
  }
  check_image_sizes(scanned, findings);
  check_mask_sizes(scanned, findings);
  const auto build = [&](bool is_validation) {
    return data::Dataset(data::build_content(scanned, flags, options.seed, is_validation));
  };
  DatasetReport report{{build(false), build(true)}, std::move(findings), {}, compared};
  const data::Dataset& training = report.groups.training;
  if (training.images().empty()) report.findings.push_back({true, "there is nothing to train on"});
  check_enlargement(training, report.findings);
  check_shared_names(training, report.findings);
  check_captions(report, options);
  check_caches(report.groups, report.findings);
  std::stable_partition(report.findings.begin(), report.findings.end(), [](const auto& f) { return f.is_problem; });
  return report;
}

}  // namespace loraptor::pipeline
