// The images of one folder with their sizes and captions.
#include "data/folder_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/folder_index.h"
#include "data/image_listing.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

constexpr size_t kImagesPerTurn = 256;
constexpr int64_t kSettledNs = 2'000'000'000;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// A folder and what is known of it; images are scanned by number.
class FolderScan {
 public:
  FolderScan(const std::string& folder, const CaptionFileRules& rules)
      : folder_(folder), rules_(rules), listing_(list_folder(folder)), known_(read_folder_index(folder)) {
    descriptor_ = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    prefix_ = folder.empty() || folder.ends_with('/') ? folder : folder + "/";
    found_.resize(listing_.images.size());
    next_known_.resize(found_.size());
    earlier_.resize(found_.size());
    // Both lists are sorted by name.
    auto at = known_.begin();
    for (size_t i = 0; i < found_.size(); ++i) {
      while (at != known_.end() && at->name < listing_.images[i]) ++at;
      if (at != known_.end() && at->name == listing_.images[i]) earlier_[i] = &*at;
    }
  }
  ~FolderScan() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderScan(const FolderScan&) = delete;
  FolderScan& operator=(const FolderScan&) = delete;

  std::vector<FolderImage> run(size_t index_from) {
    const size_t turns = (found_.size() + kImagesPerTurn - 1) / kImagesPerTurn;
    const size_t workers = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, std::max<size_t>(1, turns));
    std::vector<std::thread> threads;
    for (size_t i = 1; i < workers; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    const bool is_new = is_changed_ || known_.size() != found_.size();
    if (is_new && (found_.size() >= index_from || !known_.empty())) write_folder_index(folder_, next_known_);
    return std::move(found_);
  }

 private:
  void work() {
    for (size_t begin; (begin = next_.fetch_add(kImagesPerTurn)) < found_.size();) {
      const size_t end = std::min(found_.size(), begin + kImagesPerTurn);
      try {
        for (size_t i = begin; i < end; ++i) scan(i);
      } catch (...) {  // must not leave a thread
        const std::lock_guard lock(failure_mutex_);
        failure_ = std::current_exception();
        return;
      }
    }
  }

  /// Nothing if there is no such file.
  std::optional<FileStamp> stamp_of(const std::string& name) const {
    struct stat status {};
    if (::fstatat(descriptor_, name.c_str(), &status, 0) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    const FileStamp stamp{status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec, status.st_size};
    // A file of this very moment may change again without a new time.
    return stamp.modified_ns > started_ns_ - kSettledNs ? FileStamp{} : stamp;
  }

  void scan(size_t i) {
    FolderImage& image = found_[i];
    image.path = prefix_ + listing_.images[i];
    try {
      find_size(i);
      find_caption(i);
    } catch (const FileError& error) {
      image.problem = error;
      next_known_[i].image = {};
      is_changed_ = true;
    }
  }

  static bool same(const FileStamp& now, const FileStamp& then) { return now.bytes >= 0 && now == then; }

  void find_size(size_t i) {
    IndexedImage& next = next_known_[i];
    next.name = listing_.images[i];
    next.image = stamp_of(next.name).value_or(FileStamp{});
    if (earlier_[i] != nullptr && same(next.image, earlier_[i]->image)) {
      next.size = earlier_[i]->size;
      found_[i].size = listing_.size_with_caches(found_[i].path, next.size);
      return;
    }
    is_changed_ = true;
    next.size = header_size(found_[i].path);
    found_[i].size = listing_.size_with_caches(found_[i].path, next.size);
  }

  void find_caption(size_t i) {
    IndexedImage& next = next_known_[i];
    const std::string name = without_extension(next.name) + rules_.extension;
    const std::optional<FileStamp> stamp = stamp_of(name);
    if (!stamp) {
      // The face detector's way to name files, or no caption.
      found_[i].caption = read_caption(found_[i].path, rules_);
      is_changed_ = is_changed_ || (earlier_[i] != nullptr && !earlier_[i]->caption_name.empty());
      return;
    }
    next.caption_name = name;
    next.caption = *stamp;
    const IndexedImage* earlier = earlier_[i];
    if (earlier != nullptr && earlier->caption_name == name && same(next.caption, earlier->caption)) {
      next.caption_text = earlier->caption_text;
    } else {
      is_changed_ = true;
      next.caption_text = read_file(prefix_ + name);
    }
    found_[i].caption = {parse_caption(prefix_ + name, next.caption_text, rules_.all_lines), true};
  }

  const std::string& folder_;
  const CaptionFileRules& rules_;
  const int64_t started_ns_ = now_ns();
  FolderListing listing_;
  std::vector<IndexedImage> known_;
  std::vector<const IndexedImage*> earlier_;  // per image; null: new
  std::vector<IndexedImage> next_known_;
  std::vector<FolderImage> found_;
  std::string prefix_;
  int descriptor_ = -1;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> is_changed_ = false;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace

std::vector<FolderImage> scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                           size_t index_from) {
  return FolderScan(folder, rules).run(index_from);
}

}  // namespace loraptor::data
