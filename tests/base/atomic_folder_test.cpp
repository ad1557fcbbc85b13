// Folders appear whole or not at all.
#include "base/atomic_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {
namespace fs = std::filesystem;

size_t entries_in(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(AtomicFolder, AppearsOnlyWhenCommitted) {
  const test::TempFolder place;
  {
    AtomicFolder folder(place / "state");
    write_file(folder.path() / "a", "new");
    EXPECT_FALSE(fs::exists(place / "state"));
    folder.commit();
  }
  EXPECT_EQ(read_file(place / "state/a"), "new");
  EXPECT_EQ(entries_in(place.path()), 1u);
}

TEST(AtomicFolder, TakesThePlaceOfAnOlderOne) {
  const test::TempFolder place;
  for (const char* text : {"first", "second"}) {
    AtomicFolder folder(place / "state");
    write_file(folder.path() / text, text);
    folder.commit();
  }
  EXPECT_FALSE(fs::exists(place / "state/first"));
  EXPECT_EQ(read_file(place / "state/second"), "second");
  EXPECT_EQ(entries_in(place.path()), 1u);
}

TEST(AtomicFolder, LeavesTheOlderOneAndNoRestIfItIsNotCommitted) {
  const test::TempFolder place;
  write_file(place / "state/a", "old");
  {
    AtomicFolder folder(place / "state");
    write_file(folder.path() / "a", "new");
  }
  EXPECT_EQ(read_file(place / "state/a"), "old");
  EXPECT_EQ(entries_in(place.path()), 1u);
}

TEST(AtomicFolder, DoesNotReplaceAFile) {
  const test::TempFolder place;
  {
    AtomicFolder folder(place / "state");
    std::ofstream(place / "state") << "came meanwhile";
    EXPECT_THROW(folder.commit(), FileError);
  }
  EXPECT_THROW(AtomicFolder(place / "state"), FileError);
  EXPECT_EQ(read_file(place / "state"), "came meanwhile");
  EXPECT_EQ(entries_in(place.path()), 1u);
}

TEST(AtomicFolder, NamesTheFolderThatCannotBeMade) {
  try {
    AtomicFolder folder("/proc/no-such-place/state");
    FAIL() << "expected FileError";
  } catch (const FileError& e) {
    EXPECT_NE(std::string(e.what()).find("/proc/no-such-place/state"), std::string::npos) << e.what();
  }
}

TEST(RemoveLeftovers, TakesOnlyWhatDeadProcessesLeft) {
  const test::TempFolder place;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string dead = std::to_string(child), living = std::to_string(::getppid());
  write_file(place / ("cat.safetensors.tmp-" + dead), "");
  write_file(place / ("cat-state.tmp-" + dead) / "DONE", "");
  write_file(place / ("cat-state.old-" + dead) / "DONE", "");
  write_file(place / ("cat-state.tmp-" + living) / "DONE", "");
  write_file(place / ("dog.safetensors.tmp-" + dead), "");
  write_file(place / "cat.safetensors", "");
  remove_leftovers(place.path(), "cat");
  EXPECT_EQ(entries_in(place.path()), 3u);
  EXPECT_TRUE(fs::exists(place / ("cat-state.tmp-" + living)));
  EXPECT_TRUE(fs::exists(place / ("dog.safetensors.tmp-" + dead)));
  EXPECT_TRUE(fs::exists(place / "cat.safetensors"));
}

}  // namespace
}  // namespace loraptor
