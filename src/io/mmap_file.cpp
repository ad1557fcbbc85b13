#include "io/mmap_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"

namespace loraptor::io {
namespace {

/// A file descriptor that closes itself.
struct Descriptor {
  explicit Descriptor(int opened) : number(opened) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

Descriptor open_file(const std::filesystem::path& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0) throw FileError(path, fmt::format("cannot be opened: {}.", std::strerror(errno)));
  return Descriptor{number};
}

/// Size of a regular file.
size_t file_size(const std::filesystem::path& path, const Descriptor& file) {
  struct stat status {};
  if (::fstat(file.number, &status) != 0 || !S_ISREG(status.st_mode)) {
    throw FileError(path, "is not a regular file.");
  }
  return static_cast<size_t>(status.st_size);
}

/// Reads the first `size` bytes.
void read_all(const std::filesystem::path& path, const Descriptor& file, uint8_t* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::pread(file.number, to + done, size - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError(path, done, fmt::format("cannot be read: {}.", std::strerror(errno)));
    if (got == 0) throw FileError(path, done, fmt::format("file ended while reading, expected {} bytes.", size));
    done += static_cast<size_t>(got);
  }
}

class MappedBytes : public FileBytes {
 public:
  MappedBytes(const std::filesystem::path& path, int descriptor, size_t size) {
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) throw FileError(path, fmt::format("cannot be mapped: {}.", std::strerror(errno)));
    data_ = static_cast<const uint8_t*>(address);
    size_ = size;
  }
  ~MappedBytes() override { ::munmap(const_cast<uint8_t*>(data_), size_); }
};

class ReadBytes : public FileBytes {
 public:
  ReadBytes(const std::filesystem::path& path, const Descriptor& file, size_t size)
      : buffer_(static_cast<uint8_t*>(std::aligned_alloc(64, (size / 64 + 1) * 64)), std::free) {
    if (buffer_ == nullptr) throw std::bad_alloc();
    read_all(path, file, buffer_.get(), size);
    data_ = buffer_.get();
    size_ = size;
  }

 private:
  std::unique_ptr<uint8_t, void (*)(void*)> buffer_;
};

}  // namespace

size_t read_start(const std::filesystem::path& path, uint8_t* to, size_t size) {
  const Descriptor file = open_file(path);
  const size_t wanted = std::min(size, file_size(path, file));
  read_all(path, file, to, wanted);
  return wanted;
}

std::shared_ptr<const FileBytes> FileBytes::open(const std::filesystem::path& path, bool memory_map) {
  const Descriptor file = open_file(path);
  const size_t size = file_size(path, file);
  // An empty range cannot be mapped.
  if (memory_map && size > 0) return std::make_shared<MappedBytes>(path, file.number, size);
  return std::make_shared<ReadBytes>(path, file, size);
}

}  // namespace loraptor::io
