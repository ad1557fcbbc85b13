// Prompt files and the options inside their lines.
#include "pipeline/sample_prompt.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::pipeline {
namespace {

std::vector<SamplePrompt> read(const std::string& name, const std::string& text) {
  const test::TempFolder folder;
  write_file(folder / name, text);
  return read_prompt_file(folder / name);
}

TEST(SamplePrompt, a_bare_line_has_the_defaults) {
  const auto prompt = parse_prompt_line("a cat, oil painting");
  EXPECT_EQ(prompt.prompt, "a cat, oil painting");
  EXPECT_EQ(prompt.negative_prompt, "");
  EXPECT_EQ(prompt.width, 512);
  EXPECT_EQ(prompt.height, 512);
  EXPECT_EQ(prompt.steps, 30);
  EXPECT_EQ(prompt.scale, 7.5);
  EXPECT_FALSE(prompt.seed.has_value());
}

TEST(SamplePrompt, a_file_must_be_utf8_and_tells_when_it_has_no_prompt) {
  EXPECT_THROW(read("p.txt", "a caf\xE9\n"), FileError);
  for (const auto& [name, text] : {std::pair("p.txt", "# nothing yet\n\n"), {"p.json", "[]"}}) {
    testing::internal::CaptureStderr();
    EXPECT_TRUE(read(name, text).empty());
    EXPECT_NE(testing::internal::GetCapturedStderr().find("no prompt"), std::string::npos) << name;
  }
}

TEST(SamplePrompt, what_has_no_effect_is_told_once_with_its_file) {
  const test::TempFolder folder;
  write_file(folder / "told.txt", "a cat --ss euler --steps 20\na cat --ss euler\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(read_prompt_file(folder / "told.txt").size(), 2U);
  EXPECT_EQ(read_prompt_file(folder / "told.txt").size(), 2U);
  const std::string text = testing::internal::GetCapturedStderr();
  for (const std::string part : {"told.txt] option '--ss euler' has no effect", "told.txt] option '--steps 20'"}) {
    const size_t first = text.find(part);
    EXPECT_NE(first, std::string::npos) << part;
    EXPECT_EQ(text.find(part, first + 1), std::string::npos) << text;
  }
}

TEST(SamplePrompt, keys_without_effect_are_told_with_their_place) {
  testing::internal::CaptureStderr();
  const auto prompts = read("keys.json", R"([{"prompt": "x", "wdith": 64, "seed": null}, {"prompt": "y"}])");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(prompts.size(), 2U);
  EXPECT_NE(text.find("keys.json] entry 0, key 'wdith' has no effect"), std::string::npos) << text;
  EXPECT_EQ(text.find("'prompt' has"), std::string::npos) << text;
  EXPECT_EQ(text.find("'seed' has"), std::string::npos) << text;
}

TEST(SamplePrompt, options_are_read_in_any_case) {
  const auto prompt =
      parse_prompt_line("a cat --W 768 --h 1024 --D 42 --s 28 --l 4.5 --n blurry, low quality --g 3 --ss ddim");
  EXPECT_EQ(prompt.prompt, "a cat");
  EXPECT_EQ(prompt.width, 768);
  EXPECT_EQ(prompt.height, 1024);
  EXPECT_EQ(prompt.seed, 42);
  EXPECT_EQ(prompt.steps, 28);
  EXPECT_EQ(prompt.scale, 4.5);
  EXPECT_EQ(prompt.negative_prompt, "blurry, low quality");
}

TEST(SamplePrompt, skip_layer_guidance_is_off_unless_it_is_asked_for) {
  const auto off = parse_prompt_line("a cat --s 20").slg;
  EXPECT_EQ(off.scale, 0);
  EXPECT_FALSE(off.acts(2, 20));
  const auto slg =
      parse_prompt_line("a cat --slg_scale 2.5 --slg_layers 3,11 --slg_start 0.1 --slg_end 0.5 --s 20").slg;
  EXPECT_EQ(slg.scale, 2.5);
  EXPECT_EQ(slg.layers, (std::vector<int64_t>{3, 11}));
  EXPECT_FALSE(slg.acts(2, 20));
  EXPECT_TRUE(slg.acts(3, 20));
  EXPECT_TRUE(slg.acts(9, 20));
  EXPECT_FALSE(slg.acts(10, 20));
  EXPECT_EQ(parse_prompt_line("a cat --slg_scale 2.5 --slg_layers 3,,4").slg.layers, (std::vector<int64_t>{7, 8, 9}));
  const auto read_slg =
      read("p.json", R"([{"prompt": "x", "slg_scale": 1, "slg_layers": [1, 2], "slg_end": 0.4}])")[0].slg;
  EXPECT_EQ(read_slg.layers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(read_slg.end, 0.4);
  EXPECT_THROW(read("p.json", R"([{"prompt": "x", "slg_layers": "7,8"}])"), FileError);
}

TEST(SamplePrompt, the_prompt_itself_is_no_option) {
  const auto prompt = parse_prompt_line("n 64 s 20 portraits --s 5");
  EXPECT_EQ(prompt.prompt, "n 64 s 20 portraits");
  EXPECT_EQ(prompt.negative_prompt, "");
  EXPECT_EQ(prompt.steps, 5);
  EXPECT_EQ(parse_prompt_line("w 64 wide").width, 512);
}

TEST(SamplePrompt, unreadable_values_are_skipped) {
  const auto prompt = parse_prompt_line("a cat --l 1.2.3 --w wide --d 99999999999999999999 --x 5 --h 256");
  EXPECT_EQ(prompt.scale, 7.5);
  EXPECT_EQ(prompt.width, 512);
  EXPECT_FALSE(prompt.seed.has_value());
  EXPECT_EQ(prompt.height, 256);
}

TEST(SamplePrompt, steps_are_limited_and_sides_rounded_down_to_16) {
  EXPECT_EQ(parse_prompt_line("x --s 0").steps, 1);
  EXPECT_EQ(parse_prompt_line("x --s 5000").steps, 1000);
  EXPECT_EQ(parse_prompt_line("x --n " + std::string(200000, 'y')).negative_prompt.size(), 200000U);
  EXPECT_EQ(parse_prompt_line("x --w 520").width, 512);
  EXPECT_EQ(parse_prompt_line("x --w 527").width, 512);
  EXPECT_EQ(parse_prompt_line("x --h 10").height, 64);
}

TEST(SamplePrompt, text_files_skip_comments_and_empty_lines) {
  const auto prompts = read("p.txt", "\xEF\xBB\xBF# comment\r\n\r\n  a dog --w 64 \r\n #not a comment\nlast");
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(prompts[0].prompt, "a dog");
  EXPECT_EQ(prompts[0].width, 64);
  EXPECT_EQ(prompts[1].prompt, "#not a comment");
  EXPECT_EQ(prompts[2].prompt, "last");
}

TEST(SamplePrompt, toml_subsets_win_over_common_keys) {
  const auto prompts = read("p.toml",
                            "[prompt]\nwidth = 128\nscale = 4\nnegative_prompt = 'bad'\n"
                            "[[prompt.subset]]\nprompt = 'a'\nseed = 7\n[[prompt.subset]]\nprompt = 'b'\nwidth = 256\n"
                            "sample_steps = 3\n");
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].prompt, "a");
  EXPECT_EQ(prompts[0].width, 128);
  EXPECT_EQ(prompts[0].seed, 7);
  EXPECT_EQ(prompts[0].scale, 4);
  EXPECT_EQ(prompts[1].width, 256);
  EXPECT_EQ(prompts[1].negative_prompt, "bad");
  EXPECT_EQ(prompts[1].steps, 3);
  EXPECT_EQ(read("q.toml", "[prompt]\nprompt = 'only'\n").at(0).prompt, "only");
}

TEST(SamplePrompt, json_holds_lines_and_objects) {
  const auto prompts =
      read("p.json", R"(["a --d 3", {"prompt": "b --w 64", "seed": -1, "width": 96.0, "scale": 5, "other": [1]}])");
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].seed, 3);
  EXPECT_EQ(prompts[1].prompt, "b --w 64");
  EXPECT_EQ(prompts[1].seed, -1);
  EXPECT_EQ(prompts[1].width, 96);
  EXPECT_EQ(prompts[1].scale, 5);
}

template <class Error>
void expect_refused(const std::string& name, const std::string& text, const std::string& message) {
  try {
    read(name, text);
    ADD_FAILURE() << "no error; expected: " << message;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(FormatSamplePrompt, malformed_files_are_refused) {
  expect_refused<UsageError>("p.yaml", "a", "expected a name that ends with .txt, .toml or .json");
  expect_refused<FileError>("p.json", "[1", "not JSON");
  expect_refused<FileError>("p.json", "{}", "expected an array");
  expect_refused<FileError>("p.json", "[5]", "entry 0: got 5");
  expect_refused<FileError>("p.json", R"([{"width": "wide"}])", "entry 0, key 'width': got \"wide\"");
  expect_refused<FileError>("p.json", R"([{"sample_steps": 0}])", "expected a positive number");
  expect_refused<FileError>("p.json", R"([{"height": 64.5}])", "expected a whole number");
  expect_refused<FileError>("p.toml", "prompts = 1\n", "table [prompt] is missing");
  expect_refused<FileError>("p.toml", "[prompt\n", "line 1");
  EXPECT_THROW(read_prompt_file("/nowhere/p.txt"), FileError);
}

}  // namespace
}  // namespace loraptor::pipeline
