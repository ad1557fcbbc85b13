// Pieces that are whole or not there.
#include "base/append_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {

/// While it lives files cannot grow beyond `bytes`: writing fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  sighandler_t old_handler_;
  rlimit old_{};
};

TEST(AppendFile, GoesOnAfterWhatIsThere) {
  const test::TempFolder folder;
  write_file(folder / "log", "one\n");
  AppendFile file(folder / "log");
  file.write("two\n");
  EXPECT_EQ(read_file(folder / "log"), "one\ntwo\n");
}

TEST(AppendFile, APieceThatDoesNotFitLeavesTheOthersWhole) {
  const test::TempFolder folder;
  AppendFile file(folder / "log");
  file.write("first line\n");
  {
    const FileSizeLimit limit(20);
    EXPECT_THROW(file.write("a line of which half fits\n"), FileError);
  }
  file.write("last line\n");
  EXPECT_EQ(read_file(folder / "log"), "first line\nlast line\n");
}

TEST(AppendFile, APipeWhoseReaderLeftFails) {
  const test::TempFolder folder;
  const auto path = folder / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(is_stream(path));
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  AppendFile file(path);
  file.write("line\n");
  char got[8];
  EXPECT_EQ(::read(reader, got, sizeof got), 5);
  ::close(reader);
  EXPECT_THROW(file.write("line\n"), FileError);  // and no SIGPIPE, which would end this test
}

TEST(AppendFile, AStreamIsNoFileOfItsOwn) {
  const test::TempFolder folder;
  EXPECT_TRUE(is_stream("/dev/null"));
  EXPECT_FALSE(is_stream(folder.path()));
  EXPECT_FALSE(is_stream(folder / "none"));
  write_file(folder / "file", "");
  EXPECT_FALSE(is_stream(folder / "file"));
}

TEST(AppendFile, AFolderThatIsMissingIsNamed) {
  const test::TempFolder folder;
  try {
    AppendFile(folder / "none" / "log");
    FAIL() << "expected FileError";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("none/log"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace loraptor
