// Shards: records come back, the index, processes killed in the middle of a record, damaged files.
#include "io/shard.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;

at::Tensor numbers(double first) { return at::arange(24, at::kDouble).add(first).to(at::kFloat).view({2, 3, 4}); }

NamedTensors arrays(double first) {
  return {{"exact", numbers(first)},
          {"third", numbers(first) / 3},
          {"mask", at::ones({7}, at::kLong)},
          {"flag", at::scalar_tensor(true, at::kBool)},
          {"box", at::full({4}, 0.1, at::kDouble)}};
}

void expect_arrays(const ArrayFile& file, double first) {
  for (const auto& [name, want] : arrays(first)) {
    ASSERT_TRUE(file.has(name));
    EXPECT_EQ(file.info(name).shape, want.sizes().vec());
    EXPECT_TRUE(at::equal(file.read(name).to(want.scalar_type()), want)) << name;
  }
  EXPECT_FALSE(file.has("other"));
  EXPECT_THROW(file.read("other"), FileError);
}

std::map<std::string, ShardPlace> places_in(ShardFile& shard) {
  std::map<std::string, ShardPlace> places;
  for (const ShardPlace& place : shard.news()) places[shard.record(place)->name()] = place;
  return places;
}

TEST(ShardTest, RecordsComeBackWithAndWithoutIndex) {
  const test::TempFolder folder;
  const fs::path path = folder / "a.shard";
  {
    const auto shard = ShardFile::open_to_append(path);
    shard->append("one", arrays(1), {{"from", "x"}});
    shard->append("two", arrays(2), {});
    shard->flush();
    shard->append("three", arrays(3), {});
    EXPECT_TRUE(shard->news().empty());
  }
  for (const bool with_index : {true, false}) {
    if (!with_index) fs::remove(folder / "a.shard.index");
    const auto shard = ShardFile::open(path);
    const auto places = places_in(*shard);
    ASSERT_EQ(places.size(), 3U);
    expect_arrays(*shard->record(places.at("one")), 1);
    expect_arrays(*shard->record(places.at("three")), 3);
    EXPECT_EQ(shard->record(places.at("one"))->note().at("from"), "x");
    EXPECT_LT(places.at("one").sequence, places.at("three").sequence);
    EXPECT_TRUE(shard->news().empty());
  }
}

TEST(ShardTest, NumbersTakeHalfTheRoomWhereThatLosesNothing) {
  const test::TempFolder folder;
  const auto shard = ShardFile::open_to_append(folder / "a.shard");
  const auto record = shard->record(shard->append("one", arrays(1), {}));
  EXPECT_EQ(record->info("exact").dtype, at::kBFloat16);
  EXPECT_EQ(record->info("third").dtype, at::kFloat);
}

TEST(ShardTest, ReadersSeeWhatIsAppended) {
  const test::TempFolder folder;
  const auto writer = ShardFile::open_to_append(folder / "a.shard");
  const auto reader = ShardFile::open(folder / "a.shard");
  EXPECT_TRUE(reader->news().empty());
  for (int i = 0; i < 3; ++i) {
    writer->append("same", arrays(i), {});
    const auto news = reader->news();
    ASSERT_EQ(news.size(), 1U);
    expect_arrays(*reader->record(news.front()), i);
  }
}

TEST(FaultShard, RecordThatIsNotWholeIsCutOff) {
  const test::TempFolder folder;
  const fs::path path = folder / "a.shard";
  ShardFile::open_to_append(path)->append("one", arrays(1), {});
  const std::string one = read_file(path);
  ShardFile::open_to_append(path)->append("two", arrays(2), {});
  const std::string two = read_file(path);
  for (size_t bytes = 0; bytes < two.size(); bytes += bytes < one.size() ? 16 : 7) {
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << two.substr(0, bytes);
    const auto shard = ShardFile::open_to_append(path);
    EXPECT_EQ(places_in(*shard).size(), bytes >= one.size() ? 1U : 0U) << bytes;
    shard->append("three", arrays(3), {});
    const auto again = ShardFile::open(path);
    const auto places = places_in(*again);
    EXPECT_EQ(places.size(), bytes >= one.size() ? 2U : 1U) << bytes;
    expect_arrays(*again->record(places.at("three")), 3);
  }
}

TEST(FaultShard, KilledProcessLeavesWholeRecords) {
  const test::TempFolder folder;
  const fs::path path = folder / "a.shard";
  for (int round = 1; round <= 4; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto shard = ShardFile::open_to_append(path);
      for (int i = 0;; ++i) shard->append(fmt::format("{}", i % 50), arrays(i % 50), {});
    }
    ::usleep(static_cast<useconds_t>(20'000 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const auto shard = ShardFile::open_to_append(path);
    for (const auto& [name, place] : places_in(*shard)) expect_arrays(*shard->record(place), std::stod(name));
  }
}

TEST(FormatShard, OtherFilesAreRefused) {
  const test::TempFolder folder;
  write_file(folder / "a.shard", std::string(100, 'x'));
  EXPECT_THROW(ShardFile::open(folder / "a.shard"), FileError);
}

TEST(FormatShard, DamagedBytesAreNoticed) {
  const test::TempFolder folder;
  const fs::path path = folder / "a.shard", index = folder / "a.shard.index";
  {
    const auto shard = ShardFile::open_to_append(path);
    shard->append("one", arrays(1), {});
    shard->flush();
  }
  const std::string good = read_file(path), places = read_file(index);
  int64_t refused = 0;
  for (size_t i = 24; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << bad;
    const auto shard = ShardFile::open(path);
    try {
      for (const ShardPlace& place : shard->news()) expect_arrays(*shard->record(place), 1);
    } catch (const FileError& error) {
      ++refused;
      EXPECT_NE(std::string(error.what()).find("Hint: delete the shard"), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(refused, 0);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good;
  for (size_t i = 0; i < places.size(); ++i) {
    std::string bad = places;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    fs::remove(index);
    std::ofstream(index, std::ios::binary) << bad;
    const auto shard = ShardFile::open(path);
    EXPECT_EQ(places_in(*shard).size(), 1U) << i;
  }
}

}  // namespace
}  // namespace loraptor::io
