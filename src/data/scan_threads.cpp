#include "data/scan_threads.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <thread>

namespace loraptor::data {
namespace {

constexpr size_t kImagesPerTurn = 512;

// A time of access for each file would be hundreds of thousands of inodes to write.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

}  // namespace

void run_scan_threads(size_t files, const std::function<void(size_t thread)>& work) {
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&](size_t number) {
    try {
      // In one table of open files the threads would wait for each other. Where a sandbox forbids another they do.
      (void)::unshare(CLONE_FILES);
      work(number);
    } catch (...) {  // must not leave a thread
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  };
  const size_t wanted = std::clamp<size_t>(files / kImagesPerTurn + 1, 1, kMostScanThreads);
  std::vector<std::thread> threads;
  try {
    while (threads.size() < wanted) threads.emplace_back(run, threads.size());
  } catch (const std::system_error&) {  // a limit on processes: those that there are do it
    if (threads.empty()) work(0);
  }
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

void Turns::each(const std::function<void(size_t number)>& work) {
  for (size_t begin; (begin = next_.fetch_add(kImagesPerTurn)) < count_;) {
    for (size_t i = begin; i < std::min(count_, begin + kImagesPerTurn); ++i) work(i);
  }
}

void ReadAhead::add(std::span<const std::string_view> names) {
  const std::lock_guard lock(mutex_);
  for (const std::string_view name : names) {
    if (groups_.empty() || groups_.back().size() == kImagesPerTurn) groups_.emplace_back().reserve(kImagesPerTurn);
    groups_.back().emplace_back().image.name = name;
  }
  changed_.notify_all();
}

void ReadAhead::close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  changed_.notify_all();
}

std::span<AheadImage> ReadAhead::take() {
  std::unique_lock lock(mutex_);
  const auto is_ready = [this] {
    return next_ < groups_.size() && (is_closed_ || groups_[next_].size() == kImagesPerTurn);
  };
  changed_.wait(lock, [&] { return is_ready() || is_closed_; });
  return is_ready() ? std::span(groups_[next_++]) : std::span<AheadImage>();
}

AheadImage& ReadAhead::operator[](size_t place) { return groups_[place / kImagesPerTurn][place % kImagesPerTurn]; }

int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

FileStamp stamp_of(const struct stat& status) { return {nanoseconds(status.st_mtim), status.st_size}; }

OpenedEntry::OpenedEntry(int folder, const char* name) : descriptor_(::openat(folder, name, kOpenFlags | O_NOATIME)) {
  if (descriptor_ < 0 && errno == EPERM) descriptor_ = ::openat(folder, name, kOpenFlags);  // another user's file
  is_regular_ = descriptor_ >= 0 && ::fstat(descriptor_, &status_) == 0 && S_ISREG(status_.st_mode);
}

OpenedEntry::~OpenedEntry() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

size_t OpenedEntry::read(std::string& buffer, size_t most) const {
  const size_t wanted = std::min(most, size());
  if (buffer.size() < wanted) buffer.resize(wanted);
  size_t done = 0;
  for (ssize_t got; done < wanted; done += static_cast<size_t>(got)) {
    got = ::pread(descriptor_, buffer.data() + done, wanted - done, static_cast<off_t>(done));
    if (got <= 0) break;
  }
  return done;
}

std::optional<io::ImageHeader> OpenedEntry::image_header(std::string& buffer) const {
  constexpr size_t kMost = 1024;      // bytes in which the header of most images lies
  constexpr size_t kLong = 64 << 10;  // with metadata before the size
  for (const size_t bytes : {kMost, kLong}) {
    if (!is_regular()) break;
    const size_t got = read(buffer, bytes);
    const auto header = io::header_in({reinterpret_cast<const uint8_t*>(buffer.data()), got}, got == size());
    if (header || got == size()) return header;
  }
  return std::nullopt;
}

}  // namespace loraptor::data
