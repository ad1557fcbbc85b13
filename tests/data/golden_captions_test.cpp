// Caption files and caption transforms against the reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/caption_file.h"
#include "data/caption_transform.h"
#include "data/working_folder.h"
#include "support/golden.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

template <class T>
void read(const json& params, const char* name, T& value) {
  if (params.contains(name) && !params[name].is_null()) value = params[name].get<T>();
}

template <class T>
void read(const json& params, const char* name, std::optional<T>& value) {
  if (params.contains(name) && !params[name].is_null()) value = params[name].get<T>();
}

CaptionConfig config_of(const json& params) {
  CaptionConfig config;
  read(params, "shuffle_caption", config.shuffle_caption);
  read(params, "caption_separator", config.caption_separator);
  read(params, "keep_tokens", config.keep_tokens);
  read(params, "keep_tokens_separator", config.keep_tokens_separator);
  read(params, "secondary_separator", config.secondary_separator);
  read(params, "enable_wildcard", config.enable_wildcard);
  read(params, "caption_prefix", config.caption_prefix);
  read(params, "caption_suffix", config.caption_suffix);
  read(params, "caption_dropout_rate", config.caption_dropout_rate);
  read(params, "caption_dropout_every_n_epochs", config.caption_dropout_every_n_epochs);
  read(params, "caption_tag_dropout_rate", config.caption_tag_dropout_rate);
  read(params, "token_warmup_min", config.token_warmup_min);
  read(params, "token_warmup_step", config.token_warmup_step);
  return config;
}

void expect_output(const CaptionConfig& config, const json& entry, int64_t max_train_steps, PythonRandom& random) {
  const CaptionMoment moment{entry["epoch"].get<int64_t>(), entry["step"].get<int64_t>(), max_train_steps};
  EXPECT_EQ(transform_caption(config, entry["caption"].get<std::string>(), moment, random),
            entry["output"].get<std::string>());
}

TEST(GoldenCaptions, transforms_equal_the_reference) {
  const json file = test::golden_data("captions.json");
  if (file.is_null()) GTEST_SKIP() << "the golden set has no captions.json";
  for (const json& entry : test::list_of(file, "cases")) {
    SCOPED_TRACE(entry.dump());
    const CaptionConfig config = config_of(entry["params"]);
    const int64_t seed = entry.value("seed", int64_t{0});
    const int64_t max_train_steps = entry.value("max_train_steps", int64_t{1000});
    PythonRandom random(seed);
    if (entry.contains("sequence")) {
      for (const json& item : entry["sequence"]) expect_output(config, item, max_train_steps, random);
    } else {
      expect_output(config, entry, max_train_steps, random);
    }
    const double next = entry.value("next_random", PythonRandom(seed).random());
    EXPECT_EQ(random.random(), next) << "number of draws";
  }
  fmt::print("captions.json: {} cases\n", test::list_of(file, "cases").size());
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

TEST(GoldenCaptions, files_are_read_as_by_the_reference) {
  for (const json& entry : test::list_of(test::golden_data("captions.json"), "caption_files")) {
    SCOPED_TRACE(entry.dump());
    test::WorkingFolder folder;
    for (const auto& [name, hex] : entry["files_hex"].items()) test::write_text(name, from_hex(hex.get<std::string>()));
    CaptionFileRules rules;
    rules.extension = entry["caption_extension"].get<std::string>();
    if (!rules.extension.empty() && !rules.extension.starts_with('.')) rules.extension = "." + rules.extension;
    rules.all_lines = entry["enable_wildcard"].get<bool>();
    if (!entry["class_tokens"].is_null()) rules.class_tokens = entry["class_tokens"].get<std::string>();
    const auto image = entry["image"].get<std::string>();
    if (entry.contains("error")) {
      EXPECT_THROW(read_caption(image, rules), FileError);
      continue;
    }
    auto want = entry["caption"].get<std::string>();
    if (want.starts_with("\xef\xbb\xbf")) want.erase(0, 3);  // the reference keeps a byte order mark
    EXPECT_EQ(read_caption(image, rules).text, want);
  }
}

}  // namespace
}  // namespace loraptor::data
