// Options in TOML files.
#include "cli/config_file.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::cli {
namespace {

class OptionsFile : public testing::Test {
 protected:
  ConfigFile read(const std::string& text) {
    write_file(folder_ / "run.toml", text);
    return read_config_file(folder_ / "run.toml");
  }
  Value value(const std::string& text, const std::string& name) { return read(text).options.at(name).value; }
  std::string problem(const std::string& text) {
    try {
      read(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no problem";
  }
  test::TempFolder folder_;
};

TEST_F(OptionsFile, keys_of_one_level_of_tables_count_as_top_level) {
  const ConfigFile file = read("network_dim = 8\n[a]\nlearning_rate = 1e-3\n[b]\nnetwork_dim = 16\n[b.c]\nseed = 1\n");
  EXPECT_EQ(file.options.at("network_dim").value, Value(int64_t{16}));
  EXPECT_EQ(file.options.at("learning_rate").value, Value(1e-3));
  EXPECT_EQ(file.options.at("learning_rate").origin, "run.toml");
  EXPECT_EQ(file.options.count("seed"), 0u);
  EXPECT_EQ(file.warnings.size(), 1u);
}

TEST_F(OptionsFile, the_later_of_two_keys_wins_whatever_the_tables_are_called) {
  EXPECT_EQ(value("[z]\nnetwork_dim = 8\n[a]\nnetwork_dim = 16\n", "network_dim"), Value(int64_t{16}));
}

TEST_F(OptionsFile, toml_types_are_kept) {
  EXPECT_EQ(value("network_alpha = 16\n", "network_alpha"), Value(int64_t{16}));
  EXPECT_EQ(value("network_alpha = 16.0\n", "network_alpha"), Value(16.0));
  EXPECT_EQ(value("lr_warmup_steps = 100\n", "lr_warmup_steps"), Value(StepsOrFraction{100, false}));
  EXPECT_EQ(value("lr_warmup_steps = 0.1\n", "lr_warmup_steps"), Value(StepsOrFraction{0.1, true}));
  EXPECT_EQ(value("cache_latents = false\n", "cache_latents"), Value(false));
  EXPECT_EQ(value("network_args = [\"a=1\", \"b=2\"]\n", "network_args"),
            Value(std::vector<std::string>{"a=1", "b=2"}));
  EXPECT_EQ(value("text_encoder_lr = 1e-5\n", "text_encoder_lr"), Value(std::vector<double>{1e-5}));
}

TEST_F(OptionsFile, resolution_may_be_text_integer_or_array) {
  EXPECT_EQ(value("resolution = \"1024,768\"\n", "resolution"), Value(std::string("1024,768")));
  EXPECT_EQ(value("resolution = 1024\n", "resolution"), Value(std::string("1024")));
  EXPECT_EQ(value("resolution = [1024, 768]\n", "resolution"), Value(std::string("1024,768")));
  EXPECT_TRUE(read("resolution = [1024, 768]\n").warnings.empty());
}

TEST_F(OptionsFile, numbers_in_quotes_are_taken_with_a_warning) {
  const ConfigFile file =
      read("network_dim = \"8\"\nlr_warmup_steps = \"10%\"\nsdpa = \"true\"\nmax_train_steps = 10.0\n");
  EXPECT_EQ(file.options.at("network_dim").value, Value(int64_t{8}));
  EXPECT_EQ(file.options.at("lr_warmup_steps").value, Value(StepsOrFraction{0.1, true}));
  EXPECT_EQ(file.options.at("sdpa").value, Value(true));
  EXPECT_EQ(file.options.at("max_train_steps").value, Value(int64_t{10}));
  EXPECT_EQ(file.warnings.size(), 4u);
}

TEST_F(OptionsFile, unknown_keys_warn_and_name_the_nearest) {
  const ConfigFile file = read("learning_rat = 1\nmetadata_mood = \"good\"\n");
  ASSERT_EQ(file.warnings.size(), 1u);
  EXPECT_NE(file.warnings[0].find("learning_rate"), std::string::npos) << file.warnings[0];
  EXPECT_EQ(file.other_metadata.at("mood"), "good");
}

TEST_F(OptionsFile, wrong_values_name_file_line_and_key) {
  const std::string text = problem("network_dim = [1]\n\nloss_type = \"l3\"\n");
  EXPECT_NE(text.find("run.toml:1] [--network_dim]"), std::string::npos) << text;
  EXPECT_NE(text.find("run.toml:3] [--loss_type]"), std::string::npos) << text;
  EXPECT_NE(problem("a = = 1\n").find("run.toml:1] TOML"), std::string::npos);
  EXPECT_NE(problem("lr_warmup_steps = 10.5\n").find("lr_warmup_steps"), std::string::npos);
  for (const char* no_integer : {"1e19", "-1e19", "inf", "nan", "10.5"}) {
    const std::string refusal = problem(fmt::format("max_train_steps = {}\n", no_integer));
    EXPECT_NE(refusal.find("[--max_train_steps]"), std::string::npos) << no_integer << ": " << refusal;
  }
}

TEST_F(OptionsFile, options_whose_value_nothing_reads_take_any) {
  const ConfigFile file = read(
      "max_token_length = 75\ndynamo_backend = \"no\"\nnoise_offset = \"none\"\nclip_skip = [1, 2]\nv2 = \"maybe\"\n");
  EXPECT_EQ(file.options.at("max_token_length").value, Value(int64_t{75}));
  EXPECT_EQ(file.options.at("dynamo_backend").value, Value(std::string("no")));
  EXPECT_EQ(file.options.at("noise_offset").value, Value(std::string("none")));
  EXPECT_EQ(file.options.at("v2").value, Value(std::string("maybe")));
  EXPECT_EQ(file.options.count("clip_skip"), 1u);
  EXPECT_TRUE(file.warnings.empty());
}

TEST_F(OptionsFile, a_missing_file_is_a_file_error) {
  EXPECT_THROW(read_config_file(folder_ / "none.toml"), FileError);
  const auto path = [](const std::string& word) { return config_file_path(parse_words({word}).options); };
  EXPECT_EQ(path("--config_file=a"), "a.toml");
  EXPECT_EQ(path("--config_file=a.toml"), "a.toml");
  EXPECT_EQ(path("--config_file="), std::nullopt);
  EXPECT_EQ(path("--sdpa"), std::nullopt);
}

TEST_F(OptionsFile, what_is_written_reads_back) {
  const GivenOptions given =
      parse_words({"--network_dim", "8", "--network_args", "a=\"1\"", "b=2", "--learning_rate", "1e-4", "--sdpa",
                   "--output_name", "a \\ \"b\"", "--lr_warmup_steps", "0.1", "--text_encoder_lr", "1e-5", "1",
                   "--loss_type", "l2", "--wandb_api_key", "secret"})
          .options;
  write_config_file(folder_ / "out.toml", given);
  const ConfigFile file = read_config_file(folder_ / "out.toml");
  for (const auto& [name, row] : given) {
    if (name == "loss_type" || name == "wandb_api_key") {
      EXPECT_EQ(file.options.count(name), 0u) << name;
    } else {
      EXPECT_EQ(file.options.at(name).value, row.value) << name;
    }
  }
  EXPECT_TRUE(file.warnings.empty());
  EXPECT_THROW(write_config_file(folder_ / "out.toml", given), UsageError);
}

}  // namespace
}  // namespace loraptor::cli
