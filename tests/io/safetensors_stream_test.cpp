// Reading and writing a tensor at a time gives what reading and writing whole gives.
#include "io/safetensors_stream.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

NamedTensors some_tensors() {
  at::manual_seed(3);
  return {{"b", at::randn({3, 5})},
          {"a", at::randn({7}).to(at::kBFloat16)},
          {"empty", at::zeros({0, 4})},
          {"scalar", at::scalar_tensor(2.5)},
          {"eight", at::randn({4, 4}).to(at::kFloat8_e4m3fn)},
          {"ids", at::arange(6).view({2, 3})}};
}

std::vector<PlannedTensor> planned(const NamedTensors& tensors) {
  std::vector<PlannedTensor> plans;
  for (const auto& [name, tensor] : tensors) {
    plans.push_back({name, tensor.scalar_type(), tensor.sizes().vec(), [tensor = tensor] { return tensor; }});
  }
  return plans;
}

TEST(safetensors_stream, a_planned_file_equals_a_whole_one_byte_for_byte) {
  const test::TempFolder folder;
  const Metadata metadata{{"k", "v"}, {"a", "ü"}};
  write_safetensors(folder / "whole", some_tensors(), metadata);
  uint64_t last = 0, all = 0;
  write_planned_safetensors(folder / "planned", planned(some_tensors()), metadata, [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    all = total;
  });
  EXPECT_EQ(read_file(folder / "planned"), read_file(folder / "whole"));
  EXPECT_GT(all, 0u);
  EXPECT_EQ(last, all);
}

TEST(safetensors_stream, tensors_are_read_as_the_map_has_them) {
  const test::TempFolder folder;
  write_safetensors(folder / "x", some_tensors());
  const auto file = SafetensorsFile::open(folder / "x");
  const TensorReader reader(file);
  for (const auto& name : file->names()) {
    const auto got = reader.read(name);
    EXPECT_EQ(got.scalar_type(), file->tensor(name).scalar_type()) << name;
    EXPECT_TRUE(got.view(-1).view(at::kByte).equal(file->tensor(name).contiguous().view(-1).view(at::kByte))) << name;
  }
  EXPECT_THROW(reader.read("nobody"), FileError);
  // Into one buffer, whatever lay there before.
  at::Tensor buffer;
  for (const auto& name : file->names()) {
    reader.expect(name);
    reader.read_into(name, buffer);
    EXPECT_EQ(buffer.sizes(), file->tensor(name).sizes()) << name;
    EXPECT_TRUE(buffer.view(-1).view(at::kByte).equal(reader.read(name).view(-1).view(at::kByte))) << name;
  }
}

TEST(safetensors_stream, a_failure_half_way_leaves_the_old_file_alone) {
  const test::TempFolder folder;
  write_safetensors(folder / "x", {{"old", at::ones({2})}});
  const std::string before = read_file(folder / "x");
  auto plans = planned(some_tensors());
  plans[1].make = []() -> at::Tensor { throw RunError("half way"); };
  EXPECT_THROW(write_planned_safetensors(folder / "x", plans, {}), RunError);
  EXPECT_EQ(read_file(folder / "x"), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(safetensors_stream, a_file_that_became_shorter_is_noticed) {
  const test::TempFolder folder;
  write_safetensors(folder / "x", {{"a", at::ones({1000})}});
  const TensorReader reader(SafetensorsFile::open(folder / "x", /*memory_map=*/false));
  std::filesystem::resize_file(folder / "x", 1000);
  EXPECT_THROW(reader.read("a"), FileError);
}

}  // namespace
}  // namespace loraptor::io
