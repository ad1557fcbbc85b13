// The report page of a run (--log_html): one self-contained file with curves, sample images and settings.
#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "report/contact_sheet.h"
#include "report/metric.h"
#include "report/run_summary.h"

namespace loraptor::report {

/// What the page says about the run as a whole.
struct ReportSettings {
  std::string title;     // name of the LoRA
  std::string subtitle;  // "SD3.5 medium · rank 16 · 25 images"
  int64_t total_steps = 0;
  int64_t total_epochs = 0;
  int64_t first_step = 0;  // step the run begins after; > 0: a resumed run keeps the page's earlier curves
  std::vector<SummarySection> settings;
  std::shared_future<ContactSheet> images;  // what is trained on; may be invalid: none are shown
};

/// A generated image to show.
struct ReportSample {
  std::string prompt;
  std::string moment;  // "e000001", "000100": as in the file's name
  int64_t step = 0;
  std::filesystem::path image;  // PNG
  int64_t number = 0;           // of the prompt in its file, where several are alike
};

/// Collects a run and writes its page. The file is replaced as a whole, every 20 seconds at most and at the end, so
/// that it can be looked at while the run goes on (it reloads itself until the run ends).
class HtmlReport {
 public:
  HtmlReport(std::filesystem::path path, ReportSettings settings);

  /// Throw FileError if the page cannot be written, or a sample image not be read.
  void step(const StepRecord& record);
  /// An image of the same prompt and moment is replaced: a resumed run may make it again.
  void sample(const ReportSample& sample);
  void saved(const std::filesystem::path& model);
  void finish();

  /// Forgets what was reported of steps after this one.
  void drop_after(int64_t step);

  /// Writes the page now, as of a run that is not over.
  void write();

  /// The page as it is now.
  std::string html() const;

 private:
  struct Shown {
    ReportSample sample;
    std::string data_url;
  };
  /// The images of a prompt in the order of their steps: the first, the latest and some between.
  struct Row {
    std::string prompt;
    std::vector<Shown> images;
  };

  void read_earlier_page();
  void write_if_due();
  std::string head_html() const;
  std::string tiles_html() const;
  std::string charts_html() const;
  std::string samples_html() const;
  std::string model_html() const;
  std::string settings_html() const;
  std::string data_html() const;

  std::filesystem::path path_;
  ReportSettings settings_;
  std::vector<StepRecord> records_;
  std::vector<Row> rows_;
  std::optional<std::filesystem::path> model_;
  bool is_finished_ = false;
  Stopwatch watch_;
  double written_at_ = -1e9;
};

}  // namespace loraptor::report
