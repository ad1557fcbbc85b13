// The page of a data set and its histograms.
#include "report/dataset_page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "report/data_url.h"

namespace loraptor {
namespace {

TEST(DataUrl, is_base64_with_padding) {
  const auto url = [](const std::string& text) {
    return report::data_url("image/png", std::vector<uint8_t>(text.begin(), text.end()));
  };
  EXPECT_EQ(url(""), "data:image/png;base64,");
  EXPECT_EQ(url("f"), "data:image/png;base64,Zg==");
  EXPECT_EQ(url("fo"), "data:image/png;base64,Zm8=");
  EXPECT_EQ(url("foobar"), "data:image/png;base64,Zm9vYmFy");
}

TEST(Histogram, counts_every_value_once_between_round_bounds) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i * i % 389);
  const report::Histogram histogram = report::count_values(values, 20, true);
  EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), int64_t{0}), 1000);
  EXPECT_EQ(histogram.step, 20);
  EXPECT_EQ(histogram.low, 0);
  EXPECT_EQ(histogram.counts.size(), 20u);
  int64_t first = 0;
  for (const double value : values) first += value < 20;
  EXPECT_EQ(histogram.counts[0], first);
}

TEST(Histogram, equal_values_no_values_and_values_that_are_none) {
  EXPECT_EQ(report::count_values({5, 5, 5}, 30, true).counts, (std::vector<int64_t>{3}));
  EXPECT_TRUE(report::count_values({}, 30, true).counts.empty());
  EXPECT_EQ(report::count_values({std::nan(""), 1}, 30, false).counts, (std::vector<int64_t>{1}));
  for (const auto& values : {std::vector<double>{}, std::vector<double>{5, 5}}) {
    const std::string svg = report::svg_histogram(report::count_values(values, 10, false));
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

TEST(Histogram, a_mark_beyond_the_bars_lies_inside_the_drawing) {
  report::Histogram histogram = report::count_values({1, 2, 3}, 10, true);
  histogram.marks = {{77, "77"}};
  const std::string svg = report::svg_histogram(histogram);
  const size_t at = svg.find("class=\"mark\" x1=\"");
  ASSERT_NE(at, std::string::npos);
  const double x = std::stod(svg.substr(at + sizeof "class=\"mark\" x1=\"" - 1));
  EXPECT_GT(x, 600);
  EXPECT_LT(x, 720);
}

TEST(DatasetPage, shows_everything_and_lets_no_text_become_markup) {
  report::DatasetPage page;
  page.title = "cats & <dogs>";
  page.tiles = {{"12", "images"}};
  page.findings = {{true, "1 image <cannot> be read", {"/a/<b>.png"}}, {false, "a note", {}}};
  page.tables = {{"Buckets", {"bucket", "images"}, {{"64x96", "3"}}}};
  page.charts = {{"Aspect ratios", "wide and tall", report::count_values({1, 2, 2}, 5, false)}};
  page.sheets = {{"64x96", {{"data:image/jpeg;base64,AA==", 64, 96, "cat.png", "a \"cat\""}}, 5}};
  page.tags = {{"<script>", 4}, {"cat", 2}};
  const std::string html = report::dataset_page_html(page);
  for (const char* text :
       {"cats &amp; &lt;dogs&gt;", "1 image &lt;cannot&gt; be read", "/a/&lt;b&gt;.png", "a note", "64x96", "<svg",
        "data:image/jpeg;base64,AA==", "a &quot;cat&quot;", "and 5 more", "&lt;script&gt;", "width:50.0%"}) {
    EXPECT_NE(html.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("No problems found"), std::string::npos);
  page.findings.erase(page.findings.begin());
  EXPECT_NE(report::dataset_page_html(page).find("No problems found"), std::string::npos);
}

}  // namespace
}  // namespace loraptor
