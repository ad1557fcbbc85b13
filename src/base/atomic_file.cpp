#include "base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace loraptor {
namespace fs = std::filesystem;
namespace {

/// The file itself where `path` is a link to it: a link is followed, never replaced. What is there and cannot be
/// replaced by a file is refused.
fs::path replaced_file(const fs::path& path) {
  constexpr int kMostLinks = 40;  // as many as Linux follows
  std::error_code code;
  const auto refuse = [&](const char* what) {
    throw FileError(path, fmt::format("cannot be written: got {}, expected a file or nothing of this name.", what));
  };
  // Asked first: what /proc says of a pipe is no path.
  const auto status = fs::status(path, code);
  if (fs::is_directory(status)) refuse("a folder");
  if (fs::exists(status) && !fs::is_regular_file(status)) refuse("a device or pipe");
  fs::path file = path;
  for (int i = 0; fs::is_symlink(fs::symlink_status(file, code)); ++i) {
    if (i == kMostLinks) refuse("a loop of links");
    file = file.parent_path() / fs::read_symlink(file, code);
  }
  return file;
}

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(replaced_file(path)) {
  temporary_ = path_;
  temporary_ += fmt::format(".tmp-{}", ::getpid());
  // Another process may remove the folder, while it is empty, between the two steps.
  constexpr int kMostAttempts = 100;
  std::error_code code;
  for (int i = 0; i < kMostAttempts; ++i) {
    if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), code);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ >= 0) return;
    if (errno != ENOENT) break;
  }
  // Why the folder could not be made says more than that it is missing.
  throw FileError(path_, fmt::format("cannot be created: {}.", code ? code.message() : std::strerror(errno)));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw FileError(path_, fmt::format("cannot be written: {}.", std::strerror(errno)));
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit(Flush flush) {
  if (flush == Flush::yes && ::fsync(descriptor_) != 0) {
    throw FileError(path_, fmt::format("cannot be flushed: {}.", std::strerror(errno)));
  }
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(temporary_.c_str());
    throw FileError(path_, fmt::format("cannot be put in place: {}.", why));
  }
}

void write_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const fs::path& path) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };
  const auto fail = [&] { throw FileError(path, fmt::format("cannot be read: {}.", std::strerror(errno))); };
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat status {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) fail();
  // One byte more than there is shows the end with the first read; files of unknown length grow.
  std::string text(static_cast<size_t>(status.st_size) + 1, '\0');
  size_t done = 0;
  for (ssize_t got; (got = ::read(file.number, text.data() + done, text.size() - done)) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail();
    done += static_cast<size_t>(got);
    if (done == text.size()) text.resize(2 * done);
  }
  text.resize(done);
  return text;
}

}  // namespace loraptor
