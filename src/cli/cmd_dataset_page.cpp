// The report of a data set as a page: tables, plots and contact sheets.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/parallel.h"
#include "cli/cmd_dataset_text.h"
#include "train/training_images.h"

namespace loraptor::cli {
namespace {

using pipeline::BucketSummary;
using pipeline::DatasetReport;

constexpr size_t kTagsShown = 60;
constexpr int kBars = 40;

std::string number_text(int64_t number) { return fmt::format("{}", number); }

std::vector<report::PageTable> tables_of(const DatasetReport& report, const std::vector<BucketSummary>& buckets) {
  const data::Dataset& training = report.groups.training;
  report::PageTable subsets{"Subsets", {"subset", "images", "repeats", "set aside", "samples an epoch"}, {}};
  report::PageTable sizes{"Buckets", {"bucket", "images", "samples an epoch", "batch size", "batches"}, {}};
  const bool several = training.parts().size() > 1;
  const auto prefix = [&](int64_t dataset) {
    const auto& resolution = *training.parts()[static_cast<size_t>(dataset)].config.resolution;
    return several ? fmt::format("data set {} ({}): ", dataset, data::to_string(resolution)) : std::string();
  };
  for (const auto& subset : pipeline::summarize_subsets(report.groups)) {
    subsets.rows.push_back({prefix(subset.dataset) + subset.source + (subset.is_reg ? " (regularisation)" : ""),
                            number_text(subset.images), number_text(subset.repeats), number_text(subset.set_aside),
                            number_text(subset.samples)});
  }
  for (const BucketSummary& bucket : buckets) {
    const int64_t batch_size = training.parts()[static_cast<size_t>(bucket.dataset)].config.batch_size;
    sizes.rows.push_back({prefix(bucket.dataset) + data::to_string(bucket.size),
                          number_text(static_cast<int64_t>(bucket.images.size())), number_text(bucket.samples),
                          number_text(batch_size), number_text(bucket.batches)});
  }
  return {std::move(subsets), std::move(sizes)};
}

/// log2 of a ratio: 1:2 and 2:1 are equally far from 1:1.
double log_ratio(int64_t a, int64_t b) { return std::log2(static_cast<double>(a) / static_cast<double>(b)); }

/// The ratios that lie on the histogram's x axis, as ticks of it.
void set_ratio_ticks(report::Histogram& histogram, const std::vector<std::pair<int64_t, int64_t>>& ratios) {
  double low = histogram.low, high = low + histogram.step * static_cast<double>(histogram.counts.size());
  for (const auto& [at, label] : histogram.marks) {
    low = std::min(low, at);
    high = std::max(high, at);
  }
  for (const auto& [a, b] : ratios) {
    const double at = log_ratio(a, b);
    if (at >= low && at <= high) histogram.ticks.emplace_back(at, fmt::format("{}:{}", a, b));
  }
}

report::PageChart ratio_chart(const data::Dataset& dataset, const std::vector<BucketSummary>& buckets) {
  std::vector<double> ratios;
  for (const auto& image : dataset.images()) ratios.push_back(log_ratio(image.width, image.height));
  report::PageChart chart{"Aspect ratios", "images by width : height; dashed: the buckets", {}};
  chart.histogram = report::count_values(ratios, kBars, false);
  chart.histogram.title = "Images by aspect ratio";
  chart.histogram.x_label = "width : height";
  for (const BucketSummary& bucket : buckets) {
    chart.histogram.marks.emplace_back(log_ratio(bucket.size.width, bucket.size.height), "");
  }
  set_ratio_ticks(chart.histogram,
                  {{1, 4}, {1, 3}, {1, 2}, {2, 3}, {3, 4}, {1, 1}, {4, 3}, {3, 2}, {2, 1}, {3, 1}, {4, 1}});
  return chart;
}

report::PageChart scale_chart(const data::Dataset& dataset) {
  std::vector<double> scales;
  for (const auto& image : dataset.images()) scales.push_back(log_ratio(image.geometry.resized.width, image.width));
  report::PageChart chart{"Resizing", "width for training : width of the file",
                          report::count_values(scales, kBars, false)};
  chart.histogram.title = "Images by how much they are resized";
  chart.histogram.x_label = "trained : file";
  chart.histogram.marks = {{0, "as it is"}};
  set_ratio_ticks(chart.histogram, {{1, 16}, {1, 8}, {1, 4}, {1, 2}, {1, 1}, {2, 1}, {4, 1}, {8, 1}});
  return chart;
}

report::PageChart length_chart(const pipeline::CaptionLengths& lengths, const std::string& encoders) {
  const std::vector<double> values(lengths.tokens.begin(), lengths.tokens.end());
  report::PageChart chart{"Caption lengths: " + encoders,
                          fmt::format("captions by tokens; {} of {} are cut", lengths.cut(), lengths.tokens.size()),
                          report::count_values(values, kBars, true)};
  chart.histogram.title = "Captions by their number of tokens for " + encoders;
  chart.histogram.x_label = "tokens";
  chart.histogram.style = "series-3";
  chart.histogram.marks = {{static_cast<double>(lengths.limit), fmt::format("limit {}", lengths.limit)}};
  return chart;
}

std::vector<report::PageChart> charts_of(const DatasetReport& report, const std::vector<BucketSummary>& buckets) {
  std::vector<report::PageChart> charts;
  if (report.groups.training.images().empty()) return charts;
  charts.push_back(ratio_chart(report.groups.training, buckets));
  charts.push_back(scale_chart(report.groups.training));
  // The CLIP encoders share one vocabulary, so their lengths are the same.
  if (report.lengths.size() == 3) {
    charts.push_back(length_chart(report.lengths[0], "CLIP-L and CLIP-G"));
    charts.push_back(length_chart(report.lengths[2], "T5"));
  }
  return charts;
}

std::vector<report::ContactSheet> sheets_of(const data::Dataset& dataset, const std::vector<BucketSummary>& buckets,
                                            int64_t per_bucket) {
  std::vector<report::ContactSheet> sheets;
  for (const BucketSummary& bucket : buckets) {
    const auto count = static_cast<int64_t>(bucket.images.size());
    const int64_t shown = std::min(count, per_bucket);
    report::ContactSheet sheet{fmt::format("Bucket {}", data::to_string(bucket.size)),
                               std::vector<report::PageImage>(static_cast<size_t>(shown)), count - shown};
    if (dataset.parts().size() > 1) sheet.title += fmt::format(" of data set {}", bucket.dataset);
    sheet.title += fmt::format(": {} image{}", count, count == 1 ? "" : "s");
    run_in_threads(shown, [&](int64_t i) {
      const auto number = static_cast<size_t>(bucket.images[static_cast<size_t>(i)]);
      sheet.images[static_cast<size_t>(i)] = train::page_image(dataset, dataset.images()[number]);
    });
    std::erase_if(sheet.images, [](const auto& image) { return image.data_url.empty(); });
    sheets.push_back(std::move(sheet));
  }
  return sheets;
}

}  // namespace

report::DatasetPage dataset_page(const DatasetReport& report, const std::string& title, int64_t per_bucket) {
  const data::Dataset& training = report.groups.training;
  const auto buckets = pipeline::summarize_buckets(training);
  int64_t samples = 0;
  for (const auto& bucket : buckets) samples += bucket.samples;
  report::DatasetPage page;
  page.title = title;
  page.subtitle = fmt::format("What training would see: {}. Images are shown as the first epoch cuts them.",
                              findings_count(report));
  page.tiles = {{number_text(static_cast<int64_t>(training.images().size())), "images"},
                {number_text(samples), "samples an epoch"},
                {number_text(training.batches_per_epoch()), "batches an epoch"},
                {number_text(static_cast<int64_t>(buckets.size())), "buckets"},
                {number_text(report.problems()), "kinds of problems"}};
  const auto aside = static_cast<int64_t>(report.groups.validation.images().size());
  if (aside > 0) page.tiles.insert(page.tiles.begin() + 1, {number_text(aside), "images set aside"});
  for (const auto& finding : report.findings) {
    report::PageFinding shown{finding.is_problem, finding.text, {}};
    for (const auto& file : finding.files) shown.lines.push_back(finding_line(file));
    page.findings.push_back(std::move(shown));
  }
  page.tables = tables_of(report, buckets);
  page.charts = charts_of(report, buckets);
  page.sheets = sheets_of(training, buckets, per_bucket);
  page.tags = tag_counts(training);
  page.tags_left_out = std::max<int64_t>(0, static_cast<int64_t>(page.tags.size()) - static_cast<int64_t>(kTagsShown));
  page.tags.resize(std::min(page.tags.size(), kTagsShown));
  return page;
}

}  // namespace loraptor::cli
