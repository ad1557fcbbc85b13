// npz archives: what NumPy wrote is read, what we write NumPy reads, and nothing malformed is accepted.
#include "io/npz.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/golden.h"
#include "support/refusal.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

using test::refusal;

std::filesystem::path golden(const std::string& name) { return test::golden_folder() / "data/npz" / name; }

constexpr at::ScalarType kDtypes[] = {at::kHalf, at::kFloat, at::kDouble, at::kChar, at::kShort,
                                      at::kInt,  at::kLong,  at::kByte,   at::kBool};

NamedTensors samples() {
  NamedTensors tensors;
  for (const at::ScalarType dtype : kDtypes) {
    tensors.emplace_back(c10::toString(dtype), at::arange(24).sub(3).abs().reshape({2, 3, 4}).to(dtype));
  }
  tensors.emplace_back("scalar", at::scalar_tensor(true, at::kBool));
  tensors.emplace_back("empty", at::empty({0, 3}));
  tensors.emplace_back("one", at::tensor({1.5, 2.5}));
  tensors.emplace_back("strided", at::arange(6, at::kFloat).reshape({2, 3}).t());
  return tensors;
}

std::string read_all(const std::filesystem::path& path) {
  return refusal([&] {
    const NpzFile file(path);
    for (const std::string& name : file.names()) file.read(name);
  });
}

/// An archive with one entry of these bytes.
std::filesystem::path with_entry(const test::TempFolder& folder, const std::string& bytes) {
  write_npz(folder / "whole.npz", {{"x", at::zeros({static_cast<int64_t>(bytes.size())}, at::kByte)}});
  std::ofstream(folder / "x.npy", std::ios::binary) << bytes;
  const std::string code =
      "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[2], 'w')\nz.write(sys.argv[1], 'x.npy')\n";
  write_file(folder / "pack.py", code);
  const auto path = folder / "entry.npz";
  EXPECT_EQ(std::system(fmt::format("{} {} {} {}", test::python().string(), (folder / "pack.py").string(),
                                    (folder / "x.npy").string(), path.string())
                            .c_str()),
            0);
  return path;
}

TEST(Npz, EveryDtypeAndShapeComesBack) {
  const test::TempFolder folder;
  const NamedTensors tensors = samples();
  write_npz(folder / "a.npz", tensors);
  const NpzFile file(folder / "a.npz");
  ASSERT_EQ(file.names().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, want] = tensors[i];
    EXPECT_EQ(file.names()[i], name);
    EXPECT_EQ(file.info(name).dtype, want.scalar_type()) << name;
    EXPECT_EQ(file.info(name).shape, want.sizes().vec()) << name;
    EXPECT_TRUE(file.read(name).equal(want)) << name;
  }
}

TEST(Npz, EqualArraysGiveEqualFiles) {
  const test::TempFolder folder;
  write_npz(folder / "a.npz", samples());
  write_npz(folder / "b.npz", samples());
  EXPECT_EQ(read_file(folder / "a.npz"), read_file(folder / "b.npz"));
}

TEST(Npz, NumpyReadsWhatIsWrittenAndItsFilesAreRead) {
  const test::TempFolder folder;
  write_npz(folder / "ours.npz", samples());
  write_file(
      folder / "there_and_back.py",
      "import sys, numpy as np\n"
      "ours = np.load(sys.argv[1])\n"
      "assert str(ours['scalar'].dtype) == 'bool' and ours['scalar'].shape == () and bool(ours['scalar'])\n"
      "assert ours['Half'].dtype == np.float16 and ours['Half'].shape == (2, 3, 4) and ours['Half'][1, 2, 3] == 20\n"
      "np.savez(sys.argv[2], **{k: ours[k] for k in ours.files})\n"
      "np.savez_compressed(sys.argv[3], **{k: np.asarray(ours[k], order='F') for k in ours.files})\n");
  ASSERT_EQ(std::system(fmt::format("{} {} {} {} {}", test::python().string(), (folder / "there_and_back.py").string(),
                                    (folder / "ours.npz").string(), (folder / "stored.npz").string(),
                                    (folder / "packed.npz").string())
                            .c_str()),
            0);
  for (const char* name : {"stored.npz", "packed.npz"}) {
    const NpzFile file(folder / name);
    for (const auto& [key, want] : samples()) {
      EXPECT_TRUE(file.read(key).equal(want)) << name << " " << key;
      EXPECT_EQ(file.read(key).scalar_type(), want.scalar_type());
    }
  }
}

TEST(Npz, ArraysOfAKeptArchiveStayAsTheyAreAndNewOnesReplaceTheirNamesakes) {
  const test::TempFolder folder;
  write_npz(folder / "a.npz", {{"x", at::ones({2})}, {"y", at::zeros({3})}});
  const NpzFile before(folder / "a.npz");
  write_npz(folder / "a.npz", {{"y", at::full({1}, 7.0)}, {"z", at::ones({1}, at::kLong)}}, &before);
  const NpzFile after(folder / "a.npz");
  EXPECT_EQ(after.names(), (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_EQ(after.checksum("x"), before.checksum("x"));
  EXPECT_NE(after.checksum("y"), before.checksum("y"));
  EXPECT_EQ(after.read("y").item<float>(), 7);
}

/// Lets two threads write the first archives of a process at the same moment, in many processes; true if all could.
bool first_archives_succeed(const fs::path& folder) {
  constexpr int kProcesses = 400;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::atomic<int> ready = 0, failed = 0;
      const auto write = [&](const char* name) {
        const NamedTensors tensors{{"a", at::ones({2})}};
        for (ready.fetch_add(1); ready < 2;) continue;
        try {
          write_npz(folder / name, tensors);
        } catch (const FileError&) {
          failed = 1;
        }
      };
      std::thread other(write, "other.npz");
      write("one.npz");
      other.join();
      ::_exit(failed);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) return false;
  }
  return true;
}

TEST(Npz, TheFirstArchivesMayBeWrittenByTwoThreadsAtATime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a new process, which has written no archive yet
  const test::TempFolder folder;
  EXPECT_EXIT(std::_Exit(first_archives_succeed(folder.path()) ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST(GoldenNpz, AcceptedVariantsHoldTheSameNumbers) {
  const NpzFile single(golden("ok_single_0100x0075_sd3.npz"));
  const auto latents = single.read("latents_8x12");
  for (const char* name : {"deflated", "int32_size", "extra_keys", "fortran", "float16_latents"}) {
    const NpzFile file(golden(fmt::format("ok_{}_0100x0075_sd3.npz", name)));
    const auto got = file.read("latents_8x12");
    EXPECT_EQ(got.scalar_type(), std::string(name) == "float16_latents" ? at::kHalf : at::kFloat) << name;
    EXPECT_LE((got.to(at::kFloat) - latents).abs().max().item<double>(), got.scalar_type() == at::kHalf ? 2e-3 : 0.0);
    EXPECT_TRUE(file.read("original_size_8x12").to(at::kLong).equal(single.read("original_size_8x12"))) << name;
  }
}

TEST(GoldenNpz, EveryRecordedArrayHasItsDtypeAndShape) {
  const auto expected = test::read_golden_json(golden("expected.json"));
  const std::map<std::string, at::ScalarType> dtypes{{"float32", at::kFloat},  {"float16", at::kHalf},
                                                     {"float64", at::kDouble}, {"int64", at::kLong},
                                                     {"int32", at::kInt},      {"bool", at::kBool}};
  int count = 0;
  for (const auto& [name, arrays] : expected["files"].items()) {
    if (name.starts_with("bad_")) continue;
    test::mark_golden_read(golden(name));
    const NpzFile file(golden(name));
    EXPECT_EQ(file.names().size(), arrays.size()) << name;
    for (const auto& [key, facts] : arrays.items()) {
      const NpyInfo info = file.info(key);
      EXPECT_EQ(info.dtype, dtypes.at(facts[0].get<std::string>())) << name << " " << key;
      EXPECT_EQ(info.shape, facts[1].get<std::vector<int64_t>>()) << name << " " << key;
      ++count;
    }
  }
  EXPECT_GE(count, 60);
}

TEST(GoldenNpz, RewrittenEntriesAreThoseOfNumpyByteForByte) {
  const test::TempFolder folder;
  for (const char* name : {"rgba_0120x0090_sd3.npz", "rgba_sd3_te.npz", "small_sd3_te.npz"}) {
    const NpzFile theirs(golden(name));
    NamedTensors tensors;
    for (const auto& key : theirs.names()) tensors.emplace_back(key, theirs.read(key));
    write_npz(folder / name, tensors);
    const NpzFile ours(folder / name);
    for (const auto& key : theirs.names())
      EXPECT_EQ(ours.read_bytes(key), theirs.read_bytes(key)) << name << " " << key;
  }
}

TEST(FormatNpz, DamagedArchivesAreRefused) {
  for (const auto& [name, what] : {std::pair("truncated_half", "no whole npz archive"),
                                   {"truncated_tail", "no whole npz archive"},
                                   {"empty", "no whole npz archive"},
                                   {"not_a_zip", "no whole npz archive"},
                                   {"crc", "CRC"},
                                   {"npy_magic", "NUMPY"},
                                   {"pickle", "Python objects"},
                                   {"big_endian", "big-endian"}}) {
    const std::string text = read_all(golden(fmt::format("bad_{}_0100x0075_sd3.npz", name)));
    EXPECT_NE(text.find(what), std::string::npos) << name << ": '" << text << "'";
    EXPECT_NE(text.find(name), std::string::npos) << "the file is not named: " << text;
  }
  EXPECT_NE(read_all(golden("bad_te_truncated_sd3_te.npz")), "");
  EXPECT_NE(read_all("/nowhere/a.npz").find("cannot be read"), std::string::npos);
}

TEST(FormatNpz, CutAnywhereItIsRefused) {
  const test::TempFolder folder;
  const std::string whole = read_file(golden("ok_deflated_0100x0075_sd3.npz"));
  for (size_t length = 0; length < whole.size(); length += 1 + length / 40) {
    write_file(folder / "cut.npz", whole.substr(0, length));
    EXPECT_NE(read_all(folder / "cut.npz"), "") << length << " bytes";
  }
}

TEST(FormatNpz, AFlippedByteIsNeverReadAsOtherNumbers) {
  const test::TempFolder folder;
  const auto source = golden("ok_deflated_0100x0075_sd3.npz");
  const std::string whole = read_file(source);
  const NpzFile want(source);
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    write_file(folder / "flipped.npz", bytes);
    refusal([&] {
      const NpzFile file(folder / "flipped.npz");
      for (const auto& name : want.names()) {
        if (!file.has(name)) continue;
        EXPECT_TRUE(file.read(name).equal(want.read(name))) << "byte " << at;
      }
    });
  }
}

TEST(FormatNpz, HeadersThatDoNotFitTheirDataAreRefused) {
  const test::TempFolder folder;
  const auto npy = [](const std::string& dict, size_t data_bytes, char version = 1) {
    std::string bytes = "\x93NUMPY";
    bytes += {version, '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
    if (version != 1) bytes += std::string(2, '\0');
    return bytes + dict + std::string(data_bytes, '\0');
  };
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  EXPECT_EQ(read_all(with_entry(folder, npy(good, 8))), "");
  EXPECT_EQ(read_all(with_entry(folder, npy(good, 8, 2))), "");
  EXPECT_EQ(read_all(with_entry(folder, npy("{\"shape\":(2),\"descr\":\"<f4\",\"fortran_order\":True}", 8))), "");
  for (const auto& [bytes, what] : std::vector<std::pair<std::string, std::string>>{
           {npy(good, 7), "7 bytes of numbers"},
           {npy(good, 9), "9 bytes of numbers"},
           {npy(good, 8, 9), "npy version"},
           {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 0), "of numbers"},
           {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0), "a size that fits"},
           {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0), "a size"},
           {npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8), "<c8"},
           {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8), "structure"},
           {npy("{'descr': '<f4', 'shape': (2,), }", 8), "all three"},
           {npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8), "each once"},
           {npy("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,), }", 8), "True or False"},
           {npy("{'descr': '<f4", 8), "closing quote"},
           {npy(good, 8).substr(0, 9), "npy header"},
           {npy(good, 8).substr(0, 30), "header length"},
           {"", "npy header"}}) {
    const std::string text = read_all(with_entry(folder, bytes));
    EXPECT_NE(text.find(what), std::string::npos) << "expected '" << what << "', got '" << text << "'";
  }
}

}  // namespace
}  // namespace loraptor::io
