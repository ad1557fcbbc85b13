// The report page and its charts.
#include "report/html_report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/atomic_file.h"
#include "io/image.h"
#include "report/svg_chart.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {

report::StepRecord record(int64_t step, int64_t total) {
  const double x = static_cast<double>(step) / static_cast<double>(total);
  report::StepRecord r;
  r.step = step;
  r.epoch = 1 + (step - 1) / 50;
  r.loss = 0.15 + 0.25 * std::exp(-4 * x) + 0.1 * std::sin(static_cast<double>(step * step % 97));
  r.average = 0.15 + 0.25 * std::exp(-4 * x);
  r.grad_norm = 0.4 + 0.3 * std::fabs(std::cos(static_cast<double>(step * 7 % 31)));
  r.seconds = 1.37;
  r.lrs = {{"unet", 1e-4 * 0.5 * (1 + std::cos(M_PI * x))}, {"textencoder 1", 5e-5 * 0.5 * (1 + std::cos(M_PI * x))}};
  return r;
}

std::filesystem::path picture(const test::TempFolder& folder, const std::string& name, int shade) {
  auto image = io::make_image(640, 640, 3);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      uint8_t* p = image.row(y) + 3 * x;
      p[0] = static_cast<uint8_t>(x * 255 / 640);
      p[1] = static_cast<uint8_t>(y * 255 / 640);
      p[2] = static_cast<uint8_t>(shade);
    }
  }
  io::write_png(folder / name, image);
  return folder / name;
}

report::ReportSettings settings(int64_t first_step) {
  report::ReportSettings s;
  s.title = "my <first> LoRA";
  s.subtitle = "Stable Diffusion 3.5 medium · rank 16 · 24 images";
  s.total_steps = 400;
  s.total_epochs = 8;
  s.first_step = first_step;
  s.settings = {{"Network", {{"network_dim", "16", "command line"}, {"network_alpha", "8", "config.toml"}}},
                {"Optimizer", {{"optimizer_type", "AdamW8bit", "command line"}, {"max_grad_norm", "1.0", ""}}}};
  return s;
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(HtmlReport, HoldsCurvesImagesSettingsAndPath) {
  test::TempFolder folder;
  // To look at the page: LORAPTOR_REPORT_PAGE=/tmp/page.html
  const char* kept = std::getenv("LORAPTOR_REPORT_PAGE");
  const auto path = kept != nullptr ? std::filesystem::path(kept) : folder / "report.html";
  report::HtmlReport page(path, settings(0));
  page.sample({"a photo of sks dog", "000000", 0, picture(folder, "0.png", 30)});
  for (int64_t s = 1; s <= 400; ++s) page.step(record(s, 400));
  page.sample({"a photo of sks dog", "e000004", 200, picture(folder, "1.png", 120)});
  page.sample({"a photo of sks dog", "e000008", 400, picture(folder, "2.png", 220)});
  page.sample({"</script><b>\"quoted\"", "e000008", 400, picture(folder, "2.png", 220)});
  page.saved("/tmp/out/my_lora.safetensors");
  page.finish();
  const std::string html = read_file(path);
  EXPECT_EQ(count(html, "<svg"), 3u);
  EXPECT_EQ(count(html, "data:image/png;base64,"), 4u);
  EXPECT_EQ(count(html, "</script>"), 1u) << "a prompt must not end the data element";
  for (const char* text : {"my &lt;first&gt; LoRA", "before training", "epoch 8, step 400",
                           "/tmp/out/my_lora.safetensors", "network_alpha", "Finished: step 400 of 400"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(html.find("http-equiv=\"refresh\""), std::string::npos);
  EXPECT_EQ(html.find("src=\"http"), std::string::npos) << "the page must be self-contained";
}

TEST(HtmlReport, UnfinishedPageReloadsItself) {
  test::TempFolder folder;
  report::HtmlReport page(folder / "r.html", settings(0));
  page.step(record(1, 400));
  EXPECT_NE(read_file(folder / "r.html").find("http-equiv=\"refresh\""), std::string::npos);
}

TEST(HtmlReport, ShowsTheTrainingImages) {
  test::TempFolder folder;
  auto with_images = settings(0);
  std::promise<report::ContactSheet> images;
  with_images.images = images.get_future().share();
  images.set_value({"Training images", {{"data:image/jpeg;base64,AAAA", 64, 48, "a.jpg", "a <b> dog"}}, 7});
  const std::string html = report::HtmlReport(folder / "r.html", with_images).html();
  for (const char* text :
       {"Training images", "data:image/jpeg;base64,AAAA", "a.jpg", "a &lt;b&gt; dog", "and 7 more"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
}

TEST(HtmlReport, KeepsImagesThatAreSpreadOverTheRun) {
  test::TempFolder folder;
  report::HtmlReport page(folder / "r.html", settings(0));
  const auto image = picture(folder, "0.png", 30);
  for (int64_t s = 0; s <= 400; s += 10) page.sample({"a dog", fmt::format("{:06d}", s), s, image});
  const std::string html = page.html();
  EXPECT_EQ(count(html, "<figure>"), 6u);
  std::vector<int64_t> steps;
  for (int64_t s = 10; s <= 400; s += 10) {
    if (html.find(fmt::format("<figcaption>step {}</figcaption>", s)) != std::string::npos) steps.push_back(s);
  }
  EXPECT_NE(html.find("<figcaption>before training</figcaption>"), std::string::npos);
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(steps.back(), 400);
  for (size_t i = 1; i < steps.size(); ++i) EXPECT_LE(steps[i] - steps[i - 1], 180) << "a hole in the run";
}

TEST(ResumeHtmlReport, GoesOnWithTheEarlierCurvesAndImages) {
  test::TempFolder folder;
  const auto whole_path = folder / "whole.html", parts_path = folder / "parts.html";
  const auto before = picture(folder, "0.png", 30);
  const auto run = [&](const std::filesystem::path& path, int64_t from, int64_t to) {
    report::HtmlReport page(path, settings(from - 1));
    if (from == 1) page.sample({"a dog", "000000", 0, before});
    for (int64_t s = from; s <= to; ++s) page.step(record(s, 400));
    page.finish();
  };
  run(whole_path, 1, 400);
  run(parts_path, 1, 260);
  run(parts_path, 251, 400);
  const auto without_footer = [](std::string html) {
    return html.erase(html.find("<footer>"), html.find("</footer>") - html.find("<footer>"));
  };
  EXPECT_EQ(without_footer(read_file(parts_path)), without_footer(read_file(whole_path)));
}

TEST(ResumeHtmlReport, AMomentThatIsMadeAgainIsShownOnce) {
  test::TempFolder folder;
  const auto first = picture(folder, "0.png", 30), second = picture(folder, "1.png", 60);
  const auto sample_all = [&](report::HtmlReport& page, const std::filesystem::path& image) {
    // The same prompt twice, with different seeds.
    page.sample({"a dog", "e000001", 10, image, 0});
    page.sample({"a dog", "e000001", 10, image, 1});
  };
  {
    report::HtmlReport page(folder / "r.html", settings(0));
    sample_all(page, first);
    page.write();
  }
  report::HtmlReport page(folder / "r.html", settings(10));
  EXPECT_EQ(count(page.html(), "<figure>"), 2u);
  sample_all(page, second);
  EXPECT_EQ(count(page.html(), "<figure>"), 2u);
  EXPECT_EQ(count(page.html(), "0.png"), 0u);
}

TEST(ResumeHtmlReport, AnEarlierImageThatIsDamagedEndsNoRun) {
  test::TempFolder folder;
  const auto image = picture(folder, "0.png", 30);
  {
    report::HtmlReport page(folder / "r.html", settings(0));
    page.step(record(1, 400));
    page.sample({"a dog", "000001", 1, image});
    page.write();
  }
  write_file(image, "no image");
  const report::HtmlReport page(folder / "r.html", settings(1));
  EXPECT_NE(page.html().find("step 1 of 400"), std::string::npos) << "the curves stay";
}

TEST(SvgChart, TicksAreRound) {
  EXPECT_EQ(report::round_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const auto ticks = report::round_ticks(0.00003, 0.00011, 4);
  ASSERT_EQ(ticks.size(), 4u);
  EXPECT_NEAR(ticks[0], 0.00004, 1e-12);
}

TEST(SvgChart, ThinningKeepsPeaks) {
  std::vector<std::pair<double, double>> points;
  for (int i = 0; i < 10000; ++i) points.emplace_back(i, i == 5555 ? 100 : i % 7);
  const auto kept = report::thinned(points, 200);
  EXPECT_LE(kept.size(), 200u);
  EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [](const auto& p) { return p.second == 100; }));
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.first < b.first; }));
}

TEST(SvgChart, SmoothingOfAConstantIsTheConstant) {
  for (const auto& [x, y] : report::smoothed({{0, 3}, {1, 3}, {2, std::nan("")}, {3, 3}}, 10)) EXPECT_NEAR(y, 3, 1e-12);
}

TEST(SvgChart, EmptySingleAndBrokenCurvesDraw) {
  const report::Curve empty{"a", "series-1", {}}, one{"a", "series-1", {{1, 1}}};
  const report::Curve broken{"a", "series-1", {{1, 1}, {2, std::nan("")}, {3, 2}}};
  for (const auto& curve : {empty, one, broken}) {
    const std::string svg = report::svg_chart({"t", "x", true, {curve}});
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  }
}

}  // namespace
}  // namespace loraptor
