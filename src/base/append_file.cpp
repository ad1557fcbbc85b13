#include "base/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace loraptor {

AppendFile::AppendFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) throw FileError(path_, fmt::format("cannot be opened: {}.", std::strerror(errno)));
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::write(std::string_view piece) {
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
