#include "base/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace loraptor {
namespace {

constexpr uint64_t kPlaces = uint64_t{1} << 62;  // offsets are signed

int open_lock_file(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) throw FileError(path, fmt::format("cannot be opened: {}.", std::strerror(errno)));
  return descriptor;
}

/// Whether the lock was taken.
bool lock(const std::filesystem::path& path, int descriptor, int command, uint64_t place) {
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(place % kPlaces);
  range.l_len = 1;
  while (::fcntl(descriptor, command, &range) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EACCES) return false;
    throw FileError(path, fmt::format("cannot be locked: {}.", std::strerror(errno)));
  }
  return true;
}

}  // namespace

// Locks of the open file description: they belong to the descriptor, not to the process.
FileLock FileLock::take(const std::filesystem::path& path, uint64_t place) {
  FileLock held(open_lock_file(path));
  lock(path, held.descriptor_, F_OFD_SETLKW, place);
  return held;
}

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& path, uint64_t place) {
  FileLock held(open_lock_file(path));
  if (!lock(path, held.descriptor_, F_OFD_SETLK, place)) return std::nullopt;
  return held;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace loraptor
