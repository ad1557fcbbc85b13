// Threads that look at very many files of a folder.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/folder_index.h"
#include "io/image_header.h"

namespace loraptor::data {

/// More than CPUs: files that are not in memory are waited for one by one, each a journey to the disk or over the
/// network.
constexpr size_t kMostScanThreads = 32;

/// Does `work` in new threads, numbered from 0, which open files without waiting for each other; fewer for few files.
/// Rethrows an exception of `work`.
void run_scan_threads(size_t files, const std::function<void(size_t thread)>& work);

/// Numbers from 0, given out by turns to the threads that ask for them.
class Turns {
 public:
  explicit Turns(size_t count) : count_(count) {}

  void each(const std::function<void(size_t number)>& work);

 private:
  const size_t count_;
  std::atomic<size_t> next_ = 0;
};

/// An image of a listing that is not complete yet.
struct AheadImage {
  IndexedImage image;
  std::string_view path{}, caption{};  // as they are found
  bool has_caption = false;
  bool is_read = false;
};

/// Images that one thread lists while others read them.
class ReadAhead {
 public:
  /// Lives while images are added.
  class Filling {
   public:
    explicit Filling(ReadAhead& ahead) : ahead_(ahead) {}
    ~Filling() { ahead_.close(); }
    Filling(const Filling&) = delete;
    Filling& operator=(const Filling&) = delete;

   private:
    ReadAhead& ahead_;
  };

  void add(std::span<const std::string_view> names);
  /// Some of the images that nobody has yet, to be filled in; waits for them. Empty: there are no more.
  std::span<AheadImage> take();

  bool empty() const { return groups_.empty(); }
  /// The image that was added after `place` others.
  AheadImage& operator[](size_t place);

 private:
  void close();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<AheadImage>> groups_;  // all but the last are full
  size_t next_ = 0;                             // the first group that nobody has
  bool is_closed_ = false;
};

int64_t nanoseconds(const timespec& time);
FileStamp stamp_of(const struct stat& status);

/// An open file of a folder.
class OpenedEntry {
 public:
  /// Opens what `name` is in the open folder, if it is a file.
  OpenedEntry(int folder, const char* name);
  ~OpenedEntry();
  OpenedEntry(const OpenedEntry&) = delete;
  OpenedEntry& operator=(const OpenedEntry&) = delete;

  bool is_regular() const { return is_regular_; }
  size_t size() const { return static_cast<size_t>(status_.st_size); }
  FileStamp stamp() const { return stamp_of(status_); }
  /// Reads the first bytes into `buffer`, which may be longer then: at most `most`; fewer at the end of the file or
  /// where it cannot be read. Returns how many there are.
  size_t read(std::string& buffer, size_t most) const;
  /// Of an image; nothing if it is none, or if its header is very long.
  std::optional<io::ImageHeader> image_header(std::string& buffer) const;

 private:
  int descriptor_;
  struct stat status_ {};
  bool is_regular_;
};

}  // namespace loraptor::data
