// The report page of a run.
#include "report/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/log.h"
#include "io/image.h"
#include "io/image_resize.h"
#include "report/data_url.h"
#include "report/html_style.h"
#include "report/progress_bar.h"
#include "report/svg_chart.h"

namespace loraptor::report {
namespace fs = std::filesystem;
namespace {

constexpr double kSecondsBetweenWrites = 20;
constexpr int64_t kLongestSide = 512;  // px of an embedded image
constexpr size_t kImagesOfPrompt = 6;
constexpr char kDataBegin[] = "<script type=\"application/json\" id=\"run\">";
constexpr char kDataEnd[] = "</script>";

std::string image_url(const fs::path& path) {
  io::Image image = io::read_image(path);
  const int64_t side = std::max(image.width, image.height);
  if (side > kLongestSide) {
    image = io::resize_image(image, std::max<int64_t>(1, image.width * kLongestSide / side),
                             std::max<int64_t>(1, image.height * kLongestSide / side), io::Interpolation::area);
  }
  return data_url("image/png", io::encode_png(image));
}

using Points = std::vector<std::pair<double, double>>;

template <class Value>
Points points_of(const std::vector<StepRecord>& records, Value value) {
  Points points;
  for (const auto& record : records) points.emplace_back(static_cast<double>(record.step), value(record));
  return points;
}

std::string style_of(size_t series) { return fmt::format("series-{}", series % 4 + 1); }

/// Raw values faintly, their moving average on top.
std::vector<Curve> raw_and_smooth(const std::string& name, size_t series, const Points& points) {
  const double window = std::max(5.0, static_cast<double>(points.size()) / 25);
  return {{name, style_of(series) + " faint", points}, {"smoothed", style_of(series), smoothed(points, window)}};
}

std::string section(const std::string& title, const std::string& body) {
  return fmt::format("<section class=\"card\">\n<h2>{}</h2>\n{}</section>\n", title, body);
}

std::string tile(const std::string& value, const std::string& what) {
  return fmt::format("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", escape_html(value), what);
}

std::string moment_text(const ReportSample& sample) {
  if (sample.step == 0) return "before training";
  if (sample.moment.starts_with("e")) {
    return fmt::format("epoch {}, step {}", std::atoll(sample.moment.c_str() + 1), sample.step);
  }
  return fmt::format("step {}", sample.step);
}

nlohmann::json number_or_null(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

double number_of(const nlohmann::json& value) { return value.is_number() ? value.get<double>() : std::nan(""); }

}  // namespace

HtmlReport::HtmlReport(fs::path path, ReportSettings settings)
    : path_(std::move(path)), settings_(std::move(settings)) {
  if (settings_.first_step > 0 && fs::exists(path_)) read_earlier_page();
}

/// Curves and images of the part before a resume lie in the page itself. A page that somebody changed is only a loss of
/// its curves, never of the run.
void HtmlReport::read_earlier_page() {
  const std::string page = read_file(path_);
  const size_t begin = page.find(kDataBegin);
  const size_t end = begin == std::string::npos ? begin : page.find(kDataEnd, begin);
  const auto data =
      end == std::string::npos
          ? nlohmann::json()
          : nlohmann::json::parse(page.begin() + static_cast<std::ptrdiff_t>(begin + sizeof kDataBegin - 1),
                                  page.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
  try {
    const auto names = data.at("lr_groups").get<std::vector<std::string>>();
    for (const auto& row : data.at("steps")) {
      StepRecord record;
      record.step = row.at(0).get<int64_t>();
      if (record.step > settings_.first_step) break;
      record.epoch = row.at(1).get<int64_t>();
      record.loss = number_of(row.at(2));
      record.average = number_of(row.at(3));
      record.grad_norm = number_of(row.at(4));
      record.seconds = number_of(row.at(5));
      for (size_t i = 0; i < names.size(); ++i) record.lrs.emplace_back(names[i], number_of(row.at(6 + i)));
      records_.push_back(std::move(record));
    }
    for (const auto& entry : data.at("samples")) {
      const ReportSample shown{entry.at("prompt"), entry.at("moment"), entry.at("step"),
                               fs::path(entry.at("image").get<std::string>()), entry.value("number", int64_t{0})};
      if (shown.step <= settings_.first_step && fs::exists(shown.image)) sample(shown);
    }
  } catch (const std::exception&) {
    log::warn("[--log_html] {} holds no earlier curves; the page begins with step {}.", path_.string(),
              settings_.first_step + 1);
  }
}

void HtmlReport::step(const StepRecord& record) {
  records_.push_back(record);
  write_if_due();
}

void HtmlReport::sample(const ReportSample& sample) {
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.prompt == sample.prompt; });
  if (row == rows_.end()) row = rows_.insert(row, {sample.prompt, {}});
  auto& images = row->images;
  std::erase_if(images, [&](const Shown& shown) {
    return shown.sample.moment == sample.moment && shown.sample.number == sample.number;
  });
  images.push_back({sample, image_url(sample.image)});
  if (images.size() <= kImagesOfPrompt) return;
  // The one between whose neighbours the fewest steps lie goes, so that the others stay spread over the run.
  size_t least = 1;
  const auto gap = [&](size_t i) { return images[i + 1].sample.step - images[i - 1].sample.step; };
  for (size_t i = 2; i + 1 < images.size(); ++i) {
    if (gap(i) < gap(least)) least = i;
  }
  images.erase(images.begin() + static_cast<std::ptrdiff_t>(least));
}

void HtmlReport::saved(const fs::path& model) { model_ = model; }

void HtmlReport::finish() {
  is_finished_ = true;
  write_file(path_, html());
}

void HtmlReport::drop_after(int64_t step) {
  std::erase_if(records_, [&](const StepRecord& record) { return record.step > step; });
  for (auto& row : rows_) std::erase_if(row.images, [&](const Shown& shown) { return shown.sample.step > step; });
}

void HtmlReport::write() {
  written_at_ = watch_.seconds();
  write_file(path_, html());
}

void HtmlReport::write_if_due() {
  if (watch_.seconds() - written_at_ >= kSecondsBetweenWrites) write();
}

std::string HtmlReport::head_html() const {
  const int64_t step = records_.empty() ? settings_.first_step : records_.back().step;
  const int64_t epoch = records_.empty() ? 0 : records_.back().epoch;
  const double share =
      settings_.total_steps > 0 ? 100.0 * static_cast<double>(step) / static_cast<double>(settings_.total_steps) : 0;
  std::string html = fmt::format("<h1>{}</h1>\n<p class=\"subtitle\">{}</p>\n", escape_html(settings_.title),
                                 escape_html(settings_.subtitle));
  html += fmt::format("<div class=\"bar\"><div style=\"width:{:.1f}%\"></div></div>\n", std::min(100.0, share));
  html +=
      fmt::format("<p class=\"progress\">{}: step {} of {}, epoch {} of {}</p>\n",
                  is_finished_ ? "Finished" : "Training", step, settings_.total_steps, epoch, settings_.total_epochs);
  return html;
}

std::string HtmlReport::tiles_html() const {
  if (records_.empty()) return "";
  double seconds = 0;
  for (const auto& record : records_) seconds += std::isfinite(record.seconds) ? record.seconds : 0;
  const double per_step = seconds / static_cast<double>(records_.size());
  const auto left = static_cast<double>(std::max<int64_t>(0, settings_.total_steps - records_.back().step));
  std::string html = "<div class=\"tiles\">\n";
  html += tile(fmt::format("{:.4g}", records_.back().average), "average loss");
  html += tile(format_duration(seconds), "time in training steps");
  html +=
      tile(per_step >= 1 ? fmt::format("{:.2f} s", per_step) : fmt::format("{:.0f} ms", 1000 * per_step), "per step");
  if (!is_finished_) html += tile(format_duration(left * per_step), "left");
  return html + "</div>\n";
}

std::string HtmlReport::charts_html() const {
  if (records_.empty()) return "";
  Chart loss{"Loss over steps", "step", true, {}};
  loss.curves = raw_and_smooth("loss of each step", 0, points_of(records_, [](const auto& r) { return r.loss; }));
  Chart rates{"Learning rate over steps", "step", true, {}};
  for (size_t i = 0; i < records_.back().lrs.size(); ++i) {
    const auto rate = [i](const StepRecord& r) { return i < r.lrs.size() ? r.lrs[i].second : std::nan(""); };
    rates.curves.push_back({records_.back().lrs[i].first, style_of(i), points_of(records_, rate)});
  }
  Chart norms{"Gradient norm over steps", "step", true, {}};
  norms.curves = raw_and_smooth("norm of each step", 1, points_of(records_, [](const auto& r) { return r.grad_norm; }));
  return section("Loss", svg_chart(loss)) + "<div class=\"two\">\n" + section("Learning rate", svg_chart(rates)) +
         section("Gradient norm before clipping", svg_chart(norms)) + "</div>\n";
}

std::string HtmlReport::samples_html() const {
  std::string html;
  for (const auto& row : rows_) {
    html += fmt::format("<p class=\"prompt\">{}</p>\n<div class=\"samples\">\n", escape_html(row.prompt));
    for (const Shown& shown : row.images) {
      html += fmt::format("<figure><img src=\"{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>\n", shown.data_url,
                          escape_html(row.prompt), moment_text(shown.sample));
    }
    html += "</div>\n";
  }
  return html.empty() ? "" : section("Sample images", html);
}

std::string HtmlReport::model_html() const {
  if (!model_) return "";
  const fs::path path = fs::absolute(*model_);
  const std::string file = escape_html(path.filename().string()), whole = escape_html(path.string());
  const std::string peft = escape_html(path.stem().string() + "_diffusers.safetensors");
  std::string html = fmt::format("<p class=\"prompt\"><code>{}</code></p>\n<table>\n", whole);
  const auto row = [&](const char* program, const std::string& what) {
    html += fmt::format("<tr><td>{}</td><td colspan=\"2\">{}</td></tr>\n", program, what);
  };
  row("ComfyUI", fmt::format("Copy it to <code>models/loras</code>, choose <code>{}</code> in a <i>Load LoRA</i> node "
                             "between the checkpoint and the sampler.",
                             file));
  row("diffusers", fmt::format("<code>loraptor convert {0} {1}</code>, then "
                               "<code>pipe.load_lora_weights(\".\", weight_name=\"{1}\")</code>.",
                               whole, peft));
  row("Here",
      fmt::format("<code>loraptor generate --network_weights {}</code> with the model files of the training.", whole));
  return section("Where the LoRA lies, and how to load it", html + "</table>\n");
}

std::string HtmlReport::settings_html() const {
  std::string html;
  for (const auto& part : settings_.settings) {
    if (part.rows.empty()) continue;
    html += fmt::format("<h3>{}</h3>\n<table>\n", escape_html(part.title));
    for (const auto& row : part.rows) {
      html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", escape_html(row.name), escape_html(row.value),
                          escape_html(row.origin));
    }
    html += "</table>\n";
  }
  return html.empty() ? "" : section("Settings", html);
}

/// The numbers behind the curves: for a resumed run, and for whoever wants to plot them.
std::string HtmlReport::data_html() const {
  nlohmann::json data;
  data["lr_groups"] = nlohmann::json::array();
  data["steps"] = nlohmann::json::array();
  data["samples"] = nlohmann::json::array();
  if (!records_.empty()) {
    for (const auto& [name, rate] : records_.back().lrs) data["lr_groups"].push_back(name);
  }
  for (const auto& r : records_) {
    auto row = nlohmann::json::array({r.step, r.epoch, number_or_null(r.loss), number_or_null(r.average),
                                      number_or_null(r.grad_norm), number_or_null(std::round(r.seconds * 1e4) / 1e4)});
    for (const auto& [name, rate] : r.lrs) row.push_back(number_or_null(rate));
    data["steps"].push_back(std::move(row));
  }
  for (const auto& row : rows_) {
    for (const Shown& shown : row.images) {
      data["samples"].push_back({{"prompt", row.prompt},
                                 {"moment", shown.sample.moment},
                                 {"step", shown.sample.step},
                                 {"number", shown.sample.number},
                                 {"image", shown.sample.image.string()}});
    }
  }
  std::string text = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // A "</script>" inside a prompt must not end the element.
  for (size_t at = text.find("</"); at != std::string::npos; at = text.find("</", at + 3)) text.insert(at + 1, "\\");
  return kDataBegin + text + kDataEnd + "\n";
}

std::string HtmlReport::html() const {
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  if (!is_finished_) html += fmt::format("<meta http-equiv=\"refresh\" content=\"{}\">\n", 3 * kSecondsBetweenWrites);
  html += fmt::format("<title>{} – Loraptor</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
                      escape_html(settings_.title), kReportStyle);
  html += head_html() + tiles_html();
  if (settings_.images.valid()) html += contact_sheet_html(settings_.images.get());
  html += samples_html() + charts_html() + model_html();
  html += settings_html();
  html += fmt::format("<footer>Loraptor {} · {}</footer>\n</main>\n", LORAPTOR_VERSION, local_time_iso());
  return html + data_html() + "</body>\n</html>\n";
}

}  // namespace loraptor::report
