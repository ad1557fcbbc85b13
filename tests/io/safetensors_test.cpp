// Safetensors files: every dtype there and back, the reference writer's layout, every malformed header refused.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

constexpr at::ScalarType kAllTypes[] = {at::kDouble,        at::kFloat,       at::kHalf, at::kBFloat16,
                                        at::kFloat8_e4m3fn, at::kFloat8_e5m2, at::kLong, at::kInt,
                                        at::kShort,         at::kChar,        at::kByte, at::kBool};

std::string bytes_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return std::string(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
}

/// A file from a JSON text and its data, with the length in front.
void write_raw(const std::filesystem::path& path, const std::string& json, const std::string& data) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(json.size() >> (8 * i) & 0xff);
  write_file(path, text.append(json).append(data));
}

/// What the error says; "" if the file was accepted.
std::string refusal(const std::filesystem::path& path) {
  for (const bool memory_map : {true, false}) {
    try {
      SafetensorsFile::open(path, memory_map);
    } catch (const FileError& error) {
      if (!memory_map) return error.what();
      continue;
    }
    return "";
  }
  return "";
}

NamedTensors one_of_each_type() {
  NamedTensors tensors;
  int number = 0;
  for (const at::ScalarType dtype : kAllTypes) {
    const at::Tensor values = at::arange(12, at::kFloat).reshape({3, 4}).sub(number % 2 == 0 ? 3 : 0).abs();
    tensors.emplace_back(fmt::format("t{}", number++), values.to(dtype));
  }
  return tensors;
}

TEST(Safetensors, EveryDtypeComesBack) {
  const test::TempFolder folder;
  const NamedTensors tensors = one_of_each_type();
  write_safetensors(folder / "a.safetensors", tensors, {{"key", "value \"\n\x01 \xc3\xa4"}, {"empty", ""}});
  for (const bool memory_map : {true, false}) {
    const auto file = SafetensorsFile::open(folder / "a.safetensors", memory_map);
    ASSERT_EQ(file->names().size(), tensors.size());
    for (const auto& [name, want] : tensors) {
      const at::Tensor got = file->tensor(name);
      EXPECT_EQ(got.scalar_type(), want.scalar_type()) << name;
      EXPECT_EQ(got.sizes(), want.sizes()) << name;
      EXPECT_EQ(bytes_of(got), bytes_of(want)) << name;
      EXPECT_EQ(file->info(name).size_bytes, want.nbytes());
    }
    EXPECT_EQ(file->metadata(), (Metadata{{"key", "value \"\n\x01 \xc3\xa4"}, {"empty", ""}}));
  }
}

TEST(Safetensors, ScalarsEmptyTensorsAndStridesComeBack) {
  const test::TempFolder folder;
  const at::Tensor turned = at::arange(6, at::kFloat).reshape({2, 3}).t();
  write_safetensors(folder / "a.safetensors",
                    {{"scalar", at::scalar_tensor(2.5)}, {"none", at::empty({0, 3})}, {"turned", turned}});
  const auto file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(file->tensor("scalar").dim(), 0);
  EXPECT_EQ(file->tensor("scalar").item<float>(), 2.5f);
  EXPECT_EQ(file->tensor("none").sizes(), (std::vector<int64_t>{0, 3}));
  EXPECT_TRUE(file->tensor("turned").equal(turned));
}

TEST(Safetensors, FileWithoutTensorsIsValid) {
  const test::TempFolder folder;
  write_safetensors(folder / "a.safetensors", {});
  EXPECT_EQ(read_file(folder / "a.safetensors"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_TRUE(SafetensorsFile::open(folder / "a.safetensors")->names().empty());
}

TEST(Safetensors, TensorOutlivesTheFileObject) {
  const test::TempFolder folder;
  write_safetensors(folder / "a.safetensors", {{"x", at::arange(1000)}});
  at::Tensor kept;
  {
    const auto file = SafetensorsFile::open(folder / "a.safetensors");
    kept = file->tensor("x");
  }
  EXPECT_TRUE(kept.equal(at::arange(1000)));
}

TEST(Safetensors, NamesFollowTheBytes) {
  const test::TempFolder folder;
  write_raw(folder / "a",
            R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
            R"("a":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},)"
            R"("c":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
            "12345");
  EXPECT_EQ(SafetensorsFile::open(folder / "a")->names(), (std::vector<std::string>{"c", "b", "a"}));
}

TEST(Safetensors, OddlyPlacedTensorIsStillRead) {
  const test::TempFolder folder;
  const at::Tensor want = at::tensor({1.5f, -2.0f});
  write_raw(folder / "a",
            R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
            R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
            bytes_of(at::zeros({1}, at::kByte)) + bytes_of(want));
  EXPECT_TRUE(SafetensorsFile::open(folder / "a")->tensor("b").equal(want));
}

TEST(Safetensors, MissingTensorNamesTheNearest) {
  const test::TempFolder folder;
  write_safetensors(folder / "a.safetensors", {{"lora_down.weight", at::zeros({2})}});
  const auto file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_FALSE(file->has("lora_dwn.weight"));
  try {
    file->tensor("lora_dwn.weight");
    FAIL() << "no error";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("'lora_down.weight'"), std::string::npos) << error.what();
  }
}

TEST(FormatSafetensors, WriterFollowsTheReferenceLayout) {
  const NamedTensors tensors = {{"b", at::zeros({2}, at::kHalf)},
                                {"a", at::zeros({1}, at::kFloat)},
                                {"c", at::zeros({1, 2}, at::kBFloat16)},
                                {"a2", at::zeros({1}, at::kHalf)},
                                {"n", at::scalar_tensor(1, at::kLong)}};
  const auto layout = safetensors_layout(tensors, {{"z", "1"}, {"m", "\xc3\xa4\"\\\n\x1f"}});
  const std::string want =
      R"({"__metadata__":{"m":")"
      "\xc3\xa4"
      R"(\"\\\n\u001f","z":"1"},)"
      R"("n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
      R"("c":{"dtype":"BF16","shape":[1,2],"data_offsets":[12,16]},"a2":{"dtype":"F16","shape":[1],"data_offsets":[16,18]},)"
      R"("b":{"dtype":"F16","shape":[2],"data_offsets":[18,22]}})";
  const std::string json = layout.header.substr(8);
  EXPECT_EQ(json.substr(0, want.size()), want);
  EXPECT_EQ(json.find_first_not_of(' ', want.size()), std::string::npos);
  EXPECT_EQ(layout.header.size() % 8, 0u);
  EXPECT_LT(json.size() - want.size(), 8u);
  EXPECT_EQ(layout.order, (std::vector<size_t>{4, 1, 2, 3, 0}));
  EXPECT_EQ(layout.data_bytes, 22u);
}

TEST(FormatSafetensors, DtypesAreWrittenInDescendingRank) {
  NamedTensors tensors = one_of_each_type();
  std::vector<at::ScalarType> written;
  for (size_t index : safetensors_layout(tensors, {}).order) written.push_back(tensors[index].second.scalar_type());
  EXPECT_EQ(written, (std::vector<at::ScalarType>{at::kLong, at::kDouble, at::kFloat, at::kInt, at::kBFloat16,
                                                  at::kHalf, at::kShort, at::kFloat8_e4m3fn, at::kFloat8_e5m2,
                                                  at::kChar, at::kByte, at::kBool}));
}

TEST(FormatSafetensors, StreamedDataIsTheDataSection) {
  const test::TempFolder folder;
  const NamedTensors tensors = one_of_each_type();
  write_safetensors(folder / "a.safetensors", tensors);
  const auto layout = safetensors_layout(tensors, {});
  std::string data;
  stream_safetensors_data(tensors, layout,
                          [&](const void* piece, size_t size) { data.append(static_cast<const char*>(piece), size); });
  EXPECT_EQ(data.size(), layout.data_bytes);
  EXPECT_EQ(read_file(folder / "a.safetensors"), layout.header + data);
}

TEST(FormatSafetensors, ShortAndOverlongFilesAreRefused) {
  const test::TempFolder folder;
  write_file(folder / "a", "");
  EXPECT_NE(refusal(folder / "a").find("got 0 bytes, expected at least 8"), std::string::npos) << refusal(folder / "a");
  write_file(folder / "a", "1234567");
  EXPECT_NE(refusal(folder / "a").find("got 7 bytes, expected at least 8"), std::string::npos);
  write_file(folder / "a", std::string("\x40\0\0\0\0\0\0\0{}", 10));
  EXPECT_NE(refusal(folder / "a").find("got 64, expected at most the 2 bytes"), std::string::npos);
  write_file(folder / "a", "PK\x03\x04 no safetensors file");
  EXPECT_NE(refusal(folder / "a").find("expected at most 100000000"), std::string::npos);
  EXPECT_NE(refusal(folder / "missing").find("cannot be opened"), std::string::npos);
  EXPECT_NE(refusal(folder.path()).find("not a regular file"), std::string::npos);
}

struct BadHeader {
  const char* json;
  size_t data_bytes;
  const char* says;
};

TEST(FormatSafetensors, MalformedHeadersAreRefused) {
  const BadHeader cases[] = {
      {R"({"x":)", 0, "not valid JSON"},
      {"{\"x\xff\":1}", 0, "not valid JSON"},
      {"", 0, "not valid JSON"},
      {R"([1,2])", 0, "got a JSON array, expected an object"},
      {R"({"x":1})", 0, "tensor 'x': got a JSON number"},
      {R"({"x":{"shape":[1],"data_offsets":[0,1]}})", 1, "tensor 'x': member 'dtype' is missing"},
      {R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", 1, "tensor 'x': member 'shape' is missing"},
      {R"({"x":{"dtype":"U8","shape":[1]}})", 1, "tensor 'x': member 'data_offsets' is missing"},
      {R"({"x":{"dtype":"F7","shape":[1],"data_offsets":[0,1]}})", 1, "tensor 'x': dtype: got \"F7\""},
      {R"({"x":{"dtype":5,"shape":[1],"data_offsets":[0,1]}})", 1, "dtype: got 5"},
      {R"({"x":{"dtype":"U8","shape":"1","data_offsets":[0,1]}})", 1, "shape: got \"1\""},
      {R"({"x":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "shape: got [-1]"},
      {R"({"x":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "shape: got [1.0]"},
      {R"({"x":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1, "expected sizes from 0"},
      {R"({"x":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}})", 1, "fewer than 2^63 bytes"},
      {R"({"x":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0, "fewer than 2^63 bytes"},
      {R"({"x":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,1]}})", 1, "fewer than 2^63 bytes"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1]}})", 1, "expected [begin, end]"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "expected [begin, end]"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "expected [begin, end]"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,"1"]}})", 1, "expected [begin, end]"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "got [1, 0], expected begin <= end"},
      {R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1, "got [0, 2], expected an end within the 1 bytes"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})", 1, "expected an end within"},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}})", 8, "[0, 7]: got 7 bytes, expected 8"},
      {R"({"x":{"dtype":"F32","shape":[],"data_offsets":[0,8]}})", 8, "got 8 bytes, expected 4"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2, "data section: got 2 bytes, expected the 1"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "leave a gap: got a begin of 1, expected 0"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3, "tensor 'y': data_offsets [2, 3] leave a gap: got a begin of 2, expected 1"},
      {R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, "tensor 'y': data_offsets [1, 3] overlap the tensor before: got a begin of 1, expected 2"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "key 'x' occurs twice"},
      {R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "key 'dtype' occurs twice"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "key 'a' occurs twice"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__ 'a': got a JSON number, expected a string"},
      {R"({"__metadata__":["a"]})", 0, "__metadata__: got a JSON array, expected an object"},
  };
  const test::TempFolder folder;
  for (const BadHeader& bad : cases) {
    write_raw(folder / "bad.safetensors", bad.json, std::string(bad.data_bytes, 'x'));
    const std::string text = refusal(folder / "bad.safetensors");
    EXPECT_NE(text.find(bad.says), std::string::npos) << bad.json << "\n-> " << text;
    EXPECT_NE(text.find("bad.safetensors"), std::string::npos) << text;
  }
}

TEST(FormatSafetensors, UnknownMembersAndBlanksAreAccepted) {
  const test::TempFolder folder;
  write_raw(folder / "a", R"( { "x" : {"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":{"x":1}} }   )", "x");
  EXPECT_EQ(SafetensorsFile::open(folder / "a")->tensor("x").item<int>(), 'x');
}

TEST(FormatSafetensors, EveryTruncationIsRefused) {
  const test::TempFolder folder;
  write_safetensors(folder / "whole", one_of_each_type(), {{"key", "value"}});
  const std::string whole = read_file(folder / "whole");
  for (size_t size = 0; size < whole.size(); ++size) {
    std::filesystem::remove(folder / "cut");  // overwriting would wait for the disk
    std::ofstream(folder / "cut", std::ios::binary) << whole.substr(0, size);
    EXPECT_NE(refusal(folder / "cut"), "") << size << " of " << whole.size() << " bytes";
  }
}

}  // namespace
}  // namespace loraptor::io
