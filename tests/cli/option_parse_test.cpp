// The grammar of the command line, rule by rule.
#include "cli/option_parse.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "cli/option_table.h"
#include "cli/option_value.h"

namespace loraptor::cli {
namespace {

using Strings = std::vector<std::string>;

Value given(const Strings& words, const std::string& name) {
  const ParsedWords parsed = parse_words(words);
  const auto found = parsed.options.find(name);
  if (found == parsed.options.end()) throw std::out_of_range(name);
  return found->second.value;
}

std::string problem(const Strings& words) {
  try {
    parse_words(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no problem";
}

void expect_problem(const Strings& words, const std::string& part) {
  const std::string text = problem(words);
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(OptionsParse, both_forms_and_the_last_one_wins) {
  EXPECT_EQ(given({"--network_dim", "16"}, "network_dim"), Value(int64_t{16}));
  EXPECT_EQ(given({"--network_dim=16"}, "network_dim"), Value(int64_t{16}));
  EXPECT_EQ(given({"--network_dim=16", "--network_dim", "8"}, "network_dim"), Value(int64_t{8}));
  EXPECT_EQ(given({"--output_name=a=b"}, "output_name"), Value(std::string("a=b")));
  EXPECT_EQ(given({"--output_name="}, "output_name"), Value(std::string()));
}

TEST(OptionsParse, a_prefix_of_one_option_stands_for_it) {
  EXPECT_EQ(given({"--max_train_e", "3"}, "max_train_epochs"), Value(int64_t{3}));
  EXPECT_EQ(given({"--max_train_e=3"}, "max_train_epochs"), Value(int64_t{3}));
  expect_problem({"--max_train", "3"}, "--max_train_steps, --max_train_epochs");
}

TEST(OptionsParse, an_exact_name_wins_over_longer_ones) {
  for (const std::string name : {"vae", "t5xxl", "lr_scheduler", "log_with"}) {
    const std::string value = name == "log_with" ? "tensorboard" : "x";
    EXPECT_EQ(given({"--" + name, value}, name), Value(value));
  }
}

TEST(OptionsParse, additions_do_not_make_prefixes_of_the_reference_ambiguous) {
  EXPECT_EQ(given({"--cpu"}, "cpu_offload_checkpointing"), Value(true));
  EXPECT_EQ(given({"--cpu_t", "2"}, "cpu_threads"), Value(int64_t{2}));
}

TEST(OptionsParse, flags_take_no_value) {
  EXPECT_EQ(given({"--cache_latents"}, "cache_latents"), Value(true));
  expect_problem({"--cache_latents=true"}, "[--cache_latents] flag: got the value 'true', expected none.");
  expect_problem({"--cache_latents", "true"}, "[true] stray word");
}

TEST(OptionsParse, integers_as_python_reads_them) {
  EXPECT_EQ(parse_integer(" +1_000 "), 1000);
  EXPECT_EQ(parse_integer("-7"), -7);
  EXPECT_EQ(parse_integer("007"), 7);
  for (const char* wrong : {"", "1e3", "1.0", "1__0", "_1", "1_", "+-1", "0x10", "99999999999999999999"}) {
    EXPECT_FALSE(parse_integer(wrong)) << wrong;
  }
  expect_problem({"--network_dim", "1.0"}, "[--network_dim] value: got '1.0', expected an integer.");
}

TEST(OptionsParse, numbers_as_python_reads_them) {
  EXPECT_EQ(parse_number("1e-4"), 1e-4);
  EXPECT_EQ(parse_number(" 1_0.5 "), 10.5);
  EXPECT_EQ(parse_number("+.5"), 0.5);
  EXPECT_EQ(parse_number("5."), 5.0);
  EXPECT_EQ(parse_number("-Infinity"), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(*parse_number("NaN")));
  for (const char* wrong : {"", ".", "e5", "0x10", "1e", "1,5", "nan(1)", "--1"})
    EXPECT_FALSE(parse_number(wrong)) << wrong;
}

TEST(OptionsParse, steps_or_fraction) {
  EXPECT_EQ(parse_steps_or_fraction("10"), (StepsOrFraction{10, false}));
  EXPECT_EQ(parse_steps_or_fraction("0.1"), (StepsOrFraction{0.1, true}));
  EXPECT_EQ(parse_steps_or_fraction("0"), (StepsOrFraction{0, true}));
  EXPECT_EQ(parse_steps_or_fraction("10%"), (StepsOrFraction{0.1, true}));
  EXPECT_FALSE(parse_steps_or_fraction("10.0"));
  EXPECT_FALSE(parse_steps_or_fraction("ten"));
  EXPECT_EQ(python_text(given({"--lr_warmup_steps", "0"}, "lr_warmup_steps")), "0.0");
  EXPECT_EQ(python_text(find_option("lr_warmup_steps")->default_value), "0");
}

TEST(OptionsParse, choices_are_checked) {
  expect_problem({"--loss_type", "l3"}, "got 'l3', expected one of l1, l2, huber, smooth_l1.");
  expect_problem({"--kohya_compat", "attn2", "x"}, "got 'x'");
}

TEST(OptionsParse, an_option_whose_value_nothing_reads_takes_any) {
  EXPECT_EQ(given({"--max_token_length", "75"}, "max_token_length"), Value(int64_t{75}));
  EXPECT_EQ(given({"--max_token_length", "long"}, "max_token_length"), Value(std::string("long")));
  EXPECT_EQ(given({"--dynamo_backend", "no"}, "dynamo_backend"), Value(std::string("no")));
  EXPECT_EQ(given({"--noise_offset=x"}, "noise_offset"), Value(std::string("x")));
  expect_problem({"--clip_skip"}, "[--clip_skip] value: got nothing");
}

TEST(OptionsParse, help_may_be_abbreviated_too) {
  for (const char* word : {"-h", "--help", "--hel", "--he"}) EXPECT_TRUE(parse_words({word}).wants_help) << word;
  expect_problem({"--h"}, "ambiguous");
  expect_problem({"--helps"}, "unknown option");
}

TEST(OptionsParse, lists_take_all_words_up_to_the_next_option) {
  EXPECT_EQ(given({"--text_encoder_lr", "1e-5", "-1", "0", "--sdpa"}, "text_encoder_lr"),
            Value(std::vector<double>{1e-5, -1, 0}));
  EXPECT_EQ(given({"--network_args", "a=1", "b=2"}, "network_args"), Value(Strings{"a=1", "b=2"}));
  EXPECT_EQ(given({"--network_args"}, "network_args"), Value(Strings{}));
  EXPECT_EQ(given({"--network_args", "a=1", "--network_args", "b=2"}, "network_args"), Value(Strings{"b=2"}));
  EXPECT_EQ(given({"--network_args=a=1"}, "network_args"), Value(Strings{"a=1"}));
  expect_problem({"--network_args=a=1", "b=2"}, "[b=2] stray word");
}

TEST(OptionsParse, words_with_a_dash_as_values) {
  EXPECT_EQ(given({"--logit_mean", "-0.5"}, "logit_mean"), Value(-0.5));
  EXPECT_EQ(given({"--logit_mean", "-5"}, "logit_mean"), Value(-5.0));
  EXPECT_EQ(given({"--logit_mean=-1e-3"}, "logit_mean"), Value(-1e-3));
  EXPECT_EQ(given({"--output_name=-foo"}, "output_name"), Value(std::string("-foo")));
  EXPECT_EQ(given({"--training_comment", "- a comment"}, "training_comment"), Value(std::string("- a comment")));
  EXPECT_EQ(given({"--output_name", "-"}, "output_name"), Value(std::string("-")));
  expect_problem({"--logit_mean", "-1e-3"}, "[--logit_mean] value: got nothing");
  expect_problem({"--output_name", "-foo"}, "[-foo] unknown option");
}

TEST(OptionsParse, unknown_options_name_the_nearest) {
  expect_problem({"--learning_rat3", "1"}, "--learning_rate");
  expect_problem({"--qqqq", "1"}, "[--qqqq] unknown option.");
  expect_problem({"--no_cache_latents"}, "unknown option");
}

TEST(OptionsParse, all_problems_are_reported_together) {
  const std::string text = problem({"stray", "--network_dim", "x", "--qqqq", "1", "--vae"});
  for (const char* part : {"[stray]", "[--network_dim]", "[--qqqq]", "[--vae]"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(OptionsParse, after_two_dashes_every_word_is_stray) {
  expect_problem({"--", "--vae", "x"}, "[--vae] stray word");
  EXPECT_TRUE(parse_words({"--"}).options.empty());
}

TEST(OptionsParse, help_wins) {
  EXPECT_TRUE(parse_words({"--network_dim", "x", "-h"}).wants_help);
  EXPECT_TRUE(parse_words({"--help"}).wants_help);
}

}  // namespace
}  // namespace loraptor::cli
