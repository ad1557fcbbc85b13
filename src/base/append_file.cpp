#include "base/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace loraptor {
namespace {

/// While it lives, writing to a pipe that nobody reads fails in this thread instead of ending the process.
class WithoutPipeSignal {
 public:
  WithoutPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutPipeSignal() {
    const timespec at_once{};
    if (sigismember(&before_, SIGPIPE) == 0) ::sigtimedwait(&pipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutPipeSignal(const WithoutPipeSignal&) = delete;
  WithoutPipeSignal& operator=(const WithoutPipeSignal&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace

bool is_stream(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) return false;
  if (!S_ISREG(status.st_mode)) return true;
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat open_file {};
    if (::fstat(descriptor, &open_file) != 0) continue;
    if (open_file.st_dev == status.st_dev && open_file.st_ino == status.st_ino) return true;
  }
  return false;
}

AppendFile::AppendFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) throw FileError(path_, fmt::format("cannot be opened: {}.", std::strerror(errno)));
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::write(std::string_view piece) {
  const WithoutPipeSignal without_pipe_signal;
  const off_t begin = ::lseek(descriptor_, 0, SEEK_END);  // -1: a pipe, of which nothing can be taken back
  while (!piece.empty()) {
    const ssize_t written = ::write(descriptor_, piece.data(), piece.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const std::string why = std::strerror(errno);
      if (begin >= 0) [[maybe_unused]]
        const int cut = ::ftruncate(descriptor_, begin);
      throw FileError(path_, fmt::format("cannot be written: {}.", why));
    }
    piece.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace loraptor
