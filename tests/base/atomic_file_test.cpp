// Files appear whole or not at all.
#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/atomic_folder.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {

size_t files_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const test::TempFolder folder;
  {
    AtomicFile file(folder / "a.txt");
    file.write("half");
    EXPECT_FALSE(std::filesystem::exists(folder / "a.txt"));
    file.write(" and half");
    file.commit();
  }
  EXPECT_EQ(read_file(folder / "a.txt"), "half and half");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, LeavesTheOldFileAndNoRestIfItIsNotCommitted) {
  const test::TempFolder folder;
  write_file(folder / "a.txt", "old");
  {
    AtomicFile file(folder / "a.txt");
    file.write("new");
  }
  EXPECT_EQ(read_file(folder / "a.txt"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, MakesMissingFolders) {
  const test::TempFolder folder;
  write_file(folder / "x/y/z.txt", "deep");
  EXPECT_EQ(read_file(folder / "x/y/z.txt"), "deep");
}

TEST(AtomicFile, IsMadeWhileOthersRemoveItsEmptyFolder) {
  const test::TempFolder folder;
  std::atomic<bool> is_done = false;
  std::thread other([&] {
    std::error_code code;
    while (!is_done) {
      std::filesystem::remove(folder / "a/b", code);
      std::filesystem::remove(folder / "a", code);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  int made = 0;
  for (int i = 0; i < 2000; ++i) {
    try {
      AtomicFile(folder / "a/b/c.txt").write("new");
      const AtomicFolder state(folder / "a/b/state");
      ++made;
    } catch (const FileError& error) {
      ADD_FAILURE() << error.what();
      break;
    }
  }
  is_done = true;
  other.join();
  EXPECT_EQ(made, 2000);
}

TEST(AtomicFile, NamesTheFileThatCannotBeWritten) {
  try {
    write_file("/proc/no-such-folder/file", "text");
    FAIL() << "expected FileError";
  } catch (const FileError& e) {
    EXPECT_NE(std::string(e.what()).find("/proc/no-such-folder/file"), std::string::npos) << e.what();
  }
}

TEST(AtomicFile, FollowsLinks) {
  const test::TempFolder folder;
  std::filesystem::create_directories(folder / "disk");
  write_file(folder / "disk/old", "old");
  std::filesystem::create_symlink("disk/old", folder / "a");
  std::filesystem::create_symlink("a", folder / "b");
  std::filesystem::create_symlink(folder / "disk/new", folder / "c");  // of nothing yet
  write_file(folder / "b", "1");
  write_file(folder / "c", "2");
  EXPECT_EQ(read_file(folder / "disk/old"), "1");
  EXPECT_EQ(read_file(folder / "disk/new"), "2");
  for (const char* link : {"a", "b", "c"}) EXPECT_TRUE(std::filesystem::is_symlink(folder / link)) << link;
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_THROW(AtomicFile(folder / "loop"), FileError);
}

TEST(AtomicFile, TakesThePlaceOfNothingButAFile) {
  const test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/null", folder / "device");
  std::filesystem::create_directories(folder / "folder");
  for (const char* name : {"pipe", "device", "folder"}) {
    EXPECT_THROW(AtomicFile(folder / name), FileError) << name;
  }
  EXPECT_EQ(files_in(folder.path()), 3u);
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
}

TEST(AtomicFile, SaysThatTheDiskIsFull) {
  // /dev/full takes no bytes; the temporary file beside a final name cannot be placed there, so write to it directly.
  const test::TempFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / ("a.txt.tmp-" + std::to_string(::getpid())));
  write_file(folder / "b.txt", "kept");
  AtomicFile file(folder / "a.txt");
  EXPECT_THROW(file.write("bytes"), FileError);
  EXPECT_EQ(read_file(folder / "b.txt"), "kept");
}

TEST(ReadFile, NamesTheMissingFile) {
  try {
    read_file("/no/such/file.txt");
    FAIL() << "expected FileError";
  } catch (const FileError& e) {
    EXPECT_NE(std::string(e.what()).find("/no/such/file.txt"), std::string::npos);
  }
}

}  // namespace
}  // namespace loraptor
