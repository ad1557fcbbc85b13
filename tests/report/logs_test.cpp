// JSON lines and TensorBoard files.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/tfevents.h"
#include "report/jsonl_log.h"
#include "report/tensorboard.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {

report::StepRecord record(int64_t step) {
  report::StepRecord r;
  r.step = step;
  r.epoch = 1;
  r.loss = 0.5 / static_cast<double>(step);
  r.average = 0.25;
  r.grad_norm = 2;
  r.seconds = 0.125;
  r.data_seconds = 0.0625;
  r.seconds_left = 30;
  r.images = 2;
  r.peak_memory = 1024;
  r.timestep_losses = {{"250-500", 0.125}};
  r.lrs = {{"unet", 1e-4}, {"textencoder 1 ", 5e-5}};
  return r;
}

std::vector<nlohmann::json> lines_of(const std::filesystem::path& path) {
  std::istringstream text(read_file(path));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(JsonlLog, WritesOneObjectAStep) {
  test::TempFolder folder;
  report::JsonlLog log(folder / "log.jsonl", 0);
  log.write(record(2));
  EXPECT_EQ(read_file(folder / "log.jsonl"),
            R"({"step":2,"epoch":1,"loss":0.25,"average":0.25,"lr":{"unet":0.0001,"textencoder 1 ":5e-05},)"
            R"("grad_norm":2.0,"seconds":0.125,"data_seconds":0.0625,"seconds_left":30.0,"images":2,)"
            R"("images_per_second":16.0,"peak_memory":1024,"timestep_losses":{"250-500":0.125}})"
            "\n");
}

TEST(JsonlLog, NumbersThatAreNotFiniteBecomeNullAndExtrasAreKept) {
  test::TempFolder folder;
  auto r = record(1);
  r.grad_norm = std::nan("");
  r.extras = {{"max_norm/keys_scaled", 3}};
  report::JsonlLog log(folder / "log.jsonl", 0);
  log.write(r);
  const auto line = lines_of(folder / "log.jsonl").at(0);
  EXPECT_TRUE(line["grad_norm"].is_null());
  EXPECT_EQ(line["extras"]["max_norm/keys_scaled"], 3);
}

TEST(JsonlLog, LeavesADeviceInItsPlace) {
  test::TempFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "log.jsonl");
  for (const int64_t first_step : {0, 3}) {  // a device is not read: /dev/full has no end
    report::JsonlLog log(folder / "log.jsonl", first_step);
    EXPECT_THROW(log.write(record(4)), FileError);
  }
  EXPECT_EQ(std::filesystem::read_symlink(folder / "log.jsonl"), "/dev/full");
}

TEST(ResumeJsonlLog, KeepsLinesUpToTheResumedStepAndDropsLaterOnes) {
  test::TempFolder folder;
  const auto path = folder / "sub" / "log.jsonl";
  {
    report::JsonlLog log(path, 0);
    for (int64_t s = 1; s <= 5; ++s) log.write(record(s));
  }
  // What a crash or an editor may leave behind.
  std::ofstream(path, std::ios::app) << "{\"step\": \"x\"}\n[]\n{\"step\": 2, \"ep";
  {
    report::JsonlLog log(path, 3);
    log.write(record(4));
  }
  const auto lines = lines_of(path);
  ASSERT_EQ(lines.size(), 4u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["step"], i + 1);
  report::JsonlLog fresh(path, 0);
  EXPECT_TRUE(lines_of(path).empty());
}

TEST(ResumeJsonlLog, DropsValidationsThatAreStillToCome) {
  using report::ValidationMoment;
  const report::PendingValidations none{.epoch = 2}, of_epoch{.epoch = 2, .of_epoch = true},
      both{.epoch = 2, .of_step = true, .of_epoch = true}, of_next{.epoch = 3, .of_step = true, .of_epoch = true};
  for (const auto& [pending, kept] : {std::pair(none, 4u), {of_epoch, 3u}, {both, 2u}, {of_next, 4u}}) {
    test::TempFolder folder;
    {
      report::JsonlLog log(folder / "log.jsonl", 0);
      auto step = record(4);
      step.epoch = 2;
      log.write(record(3));
      log.write(step);
      log.write_validation(4, 2, ValidationMoment::step, {{"loss", 0.5}});
      log.write_validation(4, 2, ValidationMoment::epoch, {{"loss", 0.5}});
      log.write(record(5));
    }
    report::JsonlLog log(folder / "log.jsonl", 4, pending);
    EXPECT_EQ(lines_of(folder / "log.jsonl").size(), kept);
  }
}

TEST(TfEvents, ChecksumsAreTheStandardOnes) {
  EXPECT_EQ(io::crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(io::crc32c(std::string(32, '\0')), 0x8A9136AAu);
}

TEST(TfEvents, FileIsARowOfValidFrames) {
  test::TempFolder folder;
  std::filesystem::path path;
  {
    report::TensorBoardLog log(folder / "run");
    path = log.path();
    log.step(record(3));
    log.epoch(1, 0.5);
    log.text("settings", "learning_rate 0.0001");
  }
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
  const std::string bytes = read_file(path);
  size_t at = 0, frames = 0;
  std::string all;
  while (at < bytes.size()) {
    uint64_t length = 0;
    ASSERT_LE(at + 16, bytes.size());
    std::memcpy(&length, bytes.data() + at, 8);
    ASSERT_LE(at + 16 + length, bytes.size());
    const std::string payload = bytes.substr(at + 12, length);
    uint32_t length_crc = 0, payload_crc = 0;
    std::memcpy(&length_crc, bytes.data() + at + 8, 4);
    std::memcpy(&payload_crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(length_crc, io::masked_crc32c(bytes.substr(at, 8)));
    EXPECT_EQ(payload_crc, io::masked_crc32c(payload));
    all += payload;
    at += 16 + length;
    ++frames;
  }
  EXPECT_EQ(frames, 1u + 7 + 1 + 1);
  for (const char* text : {"brain.Event:2", "loss/current", "loss/average", "lr/unet", "lr/textencoder1", "grad_norm",
                           "images_per_second", "loss/timestep_250-500"}) {
    EXPECT_NE(all.find(text), std::string::npos) << text;
  }
}

TEST(TensorBoard, TagsAreClean) {
  EXPECT_EQ(report::learning_rate_tag("unet"), "lr/unet");
  EXPECT_EQ(report::learning_rate_tag("unet plus"), "lr/unet_plus");
  EXPECT_EQ(report::learning_rate_tag("textencoder 1 "), "lr/textencoder1");
  EXPECT_EQ(report::learning_rate_tag("textencoder 3  plus"), "lr/textencoder3_plus");
}

TEST(TensorBoard, FolderThatCannotBeMadeIsNamed) {
  test::TempFolder folder;
  write_file(folder / "file", "");
  EXPECT_THROW(report::TensorBoardLog(folder / "file" / "run"), FileError);
}

}  // namespace
}  // namespace loraptor
