// Folders and names that cannot be used are told before the run.
#include "train/output_check.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::train {
namespace {

class OutputCheck : public testing::Test {
 protected:
  OutputCheck() {
    config_.saving.output_dir = (folder_ / "out").string();
    config_.saving.output_name = "cat";
    write_file(folder_ / "file", "");
  }
  std::string in_file(const char* name) const { return (folder_ / "file" / name).string(); }

  void expect_refusal(const char* flag) {
    try {
      check_outputs(config_);
      FAIL() << "expected FileError about " << flag;
    } catch (const FileError& error) {
      EXPECT_NE(std::string(error.what()).find(flag), std::string::npos) << error.what();
    }
  }

  test::TempFolder folder_;
  TrainConfig config_;
};

TEST_F(OutputCheck, LeavesNothing) {
  config_.sample.sample_prompts = "prompts.txt";
  config_.sample.sample_at_first = true;
  config_.saving.save_state = true;
  config_.logging.log_json = (folder_ / "logs/log.jsonl").string();
  config_.logging.log_html = (folder_ / "page.html").string();
  config_.logging.logging_dir = (folder_ / "tb").string();
  write_file(folder_ / "page.html", "of an earlier run");
  check_outputs(config_);
  EXPECT_EQ(read_file(folder_ / "page.html"), "of an earlier run");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
    const auto name = entry.path().filename();
    EXPECT_TRUE(name == "page.html" || name == "file") << entry.path();
  }
}

TEST_F(OutputCheck, AFileInPlaceOfTheFolderIsTold) {
  config_.saving.output_dir = (folder_ / "file").string();
  expect_refusal("--output_dir");
}

TEST_F(OutputCheck, ANameThatIsTooLongForOneOfTheFilesIsTold) {
  config_.saving.output_name = std::string(220, 'x');
  check_outputs(config_);
  config_.saving.output_name = std::string(240, 'x');  // the LoRA's own name would do: 252 bytes
  expect_refusal("--output_name");
}

TEST_F(OutputCheck, ANameThatOnlyAnAverageWouldHaveIsNotTried) {
  std::filesystem::create_directories(folder_ / "out/cat_ema.safetensors");
  check_outputs(config_);
  config_.loop.ema_decay = 0.9;
  expect_refusal("--output_name");
}

TEST_F(OutputCheck, AFileInPlaceOfAStateIsTold) {
  write_file(folder_ / "out/cat-state", "notes");
  check_outputs(config_);
  config_.saving.save_state = true;
  expect_refusal("--output_name");
  EXPECT_EQ(read_file(folder_ / "out/cat-state"), "notes");
}

TEST_F(OutputCheck, APipeTakesLinesButNoPage) {
  const auto pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  config_.logging.log_json = pipe;
  check_outputs(config_);  // nobody reads: opening it would wait
  config_.logging = {};
  config_.logging.log_html = pipe;
  expect_refusal("--log_html");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST_F(OutputCheck, AFolderInPlaceOfTheLoraIsTold) {
  std::filesystem::create_directories(folder_ / "out/cat.safetensors");
  expect_refusal("--output_name");
}

TEST_F(OutputCheck, PlacesOfLogsAndImagesAreTold) {
  config_.logging.log_json = in_file("log.jsonl");
  expect_refusal("--log_json");
  config_.logging = {};
  config_.logging.log_html = in_file("page.html");
  expect_refusal("--log_html");
  config_.logging = {};
  config_.logging.logging_dir = in_file("tb");
  expect_refusal("--logging_dir");
  config_.logging.logging_dir = (folder_ / "tb").string();
  config_.logging.log_tracker_name = std::string(300, 'x');
  expect_refusal("--log_tracker_name");
  config_.logging = {};
  config_.sample.sample_prompts = "prompts.txt";
  config_.sample.sample_every_n_steps = 1;
  write_file(folder_ / "out/sample", "a file");
  expect_refusal("sample images");
}

}  // namespace
}  // namespace loraptor::train
