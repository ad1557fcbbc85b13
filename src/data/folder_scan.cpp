// The images of one folder with their sizes and captions.
#include "data/folder_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "data/folder_index.h"
#include "data/image_listing.h"
#include "data/python_text.h"
#include "io/image.h"
#include "io/image_header.h"

namespace loraptor::data {
namespace {

constexpr size_t kImagesPerTurn = 512;
constexpr size_t kMostHeaders = 1024;      // bytes in which the header of most images lies
constexpr size_t kLongHeaders = 64 << 10;  // with metadata before the size

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

FileStamp stamp_of(const struct stat& status) { return {nanoseconds(status.st_mtim), status.st_size}; }

/// An open file of a folder.
class OpenedEntry {
 public:
  OpenedEntry(int folder, const char* name) : descriptor_(::openat(folder, name, kFlags | O_NOATIME)) {
    if (descriptor_ < 0 && errno == EPERM) descriptor_ = ::openat(folder, name, kFlags);  // another user's file
    is_regular_ = descriptor_ >= 0 && ::fstat(descriptor_, &status_) == 0 && S_ISREG(status_.st_mode);
  }
  ~OpenedEntry() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenedEntry(const OpenedEntry&) = delete;
  OpenedEntry& operator=(const OpenedEntry&) = delete;

  bool is_regular() const { return is_regular_; }
  size_t size() const { return static_cast<size_t>(status_.st_size); }
  FileStamp stamp() const { return stamp_of(status_); }
  /// The first bytes, at most `size`; fewer at the end of the file or where it cannot be read.
  size_t read(void* to, size_t size) const {
    size_t done = 0;
    for (ssize_t got; done < size; done += static_cast<size_t>(got)) {
      got = ::pread(descriptor_, static_cast<char*>(to) + done, size - done, static_cast<off_t>(done));
      if (got <= 0) break;
    }
    return done;
  }

 private:
  // A time of access for each file would be hundreds of thousands of inodes to write.
  static constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

  int descriptor_;
  struct stat status_ {};
  bool is_regular_;
};

/// Keeps copies of texts in large pieces.
class TextKeeper {
 public:
  std::string_view keep(std::string_view text) {
    if (text.size() > left_) {
      left_ = std::max(kPieceBytes, text.size());
      next_ = pieces_.emplace_back(std::make_unique_for_overwrite<char[]>(left_)).get();
    }
    std::memcpy(next_, text.data(), text.size());
    const std::string_view kept(next_, text.size());
    next_ += text.size();
    left_ -= text.size();
    return kept;
  }

 private:
  static constexpr size_t kPieceBytes = 256 << 10;
  std::vector<std::unique_ptr<char[]>> pieces_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

/// What one thread needs for its work.
struct ScanBuffers {
  TextKeeper& keeper;
  std::string bytes = std::string(kLongHeaders, '\0');
  std::string name{};
};

/// What is still as the index has it.
enum Unchanged : uint8_t { kNothing = 0, kImage = 1, kCaption = 2, kAll = 3 };

/// A folder and what is known of it; images are scanned by number.
class FolderScan {
 public:
  FolderScan(const std::string& folder, const CaptionFileRules& rules, const FolderScanOptions& options)
      : folder_(folder), rules_(rules), options_(options), known_(FolderIndex::read(folder)) {
    descriptor_ = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    prefix_ = folder.empty() || folder.ends_with('/') ? folder : folder + "/";
    struct stat status {};
    if (descriptor_ >= 0 && ::fstat(descriptor_, &status) == 0) changed_ns_ = nanoseconds(status.st_ctim);
    same_extension_ = known_.caption_extension() == rules.extension;
    is_listed_ = known_.size() == 0 || !same_extension_ || known_.folder_changed_ns() != changed_ns_;
    unchanged_.resize(known_.size());
  }
  ~FolderScan() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderScan(const FolderScan&) = delete;
  FolderScan& operator=(const FolderScan&) = delete;

  std::vector<FolderImage> run() {
    // One thread lists the folder while the others compare what the index knows.
    in_threads(
        known_.size(), [this](size_t i, ScanBuffers&) { compare(i); },
        [this] {
          if (is_listed_) listing_ = list_folder(folder_);
        });
    const bool all_same = std::all_of(unchanged_.begin(), unchanged_.end(), [](uint8_t same) { return same == kAll; });
    // A new index is written only of a listing, which has the names of caches too.
    if (!is_listed_ && !all_same) {
      is_listed_ = true;
      listing_ = list_folder(folder_);
    }
    match_listing();
    in_threads(
        found_.size(), [this](size_t i, ScanBuffers& buffers) { scan(i, buffers); }, [] {});
    remember();
    return std::move(found_);
  }

 private:
  static constexpr uint32_t kNew = UINT32_MAX;

  /// Does `work` for 0 .. count - 1 in as many threads as there are CPUs; this one does `first` before it joins in.
  void in_threads(size_t count, const std::function<void(size_t, ScanBuffers&)>& work,
                  const std::function<void()>& first) {
    const size_t turns = (count + kImagesPerTurn - 1) / kImagesPerTurn;
    const size_t workers = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, std::max<size_t>(1, turns));
    while (keepers_.size() < workers) keepers_.push_back(std::make_unique<TextKeeper>());
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr failure;
    const auto run = [&](size_t worker) {
      try {
        if (worker == 0) first();
        ScanBuffers buffers{*keepers_[worker]};
        for (size_t begin; (begin = next.fetch_add(kImagesPerTurn)) < count;) {
          for (size_t i = begin; i < std::min(count, begin + kImagesPerTurn); ++i) work(i, buffers);
        }
      } catch (...) {  // must not leave a thread
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < workers; ++i) threads.emplace_back(run, i);
    run(0);
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  /// A file of this very moment may change again without a new time.
  FileStamp settled(const FileStamp& stamp) const {
    return stamp.modified_ns > started_ns_ - options_.settled_ns ? FileStamp{} : stamp;
  }

  bool has_stamp(std::string_view name, const FileStamp& then) const {
    struct stat status {};
    // Names of the index end with a zero byte.
    return then.bytes >= 0 && ::fstatat(descriptor_, name.data(), &status, 0) == 0 && S_ISREG(status.st_mode) &&
           settled(stamp_of(status)) == then;
  }

  void compare(size_t i) {
    const IndexedImage known = known_[i];
    uint8_t same = has_stamp(known.name, known.image) ? kImage : kNothing;
    const bool has_caption = same_extension_ && !known.caption_name.empty();
    // Without one, the folder's own time shows that none came.
    if (has_caption ? has_stamp(known.caption_name, known.caption) : !is_listed_) same |= kCaption;
    unchanged_[i] = same;
  }

  /// Finds each image of the listing in the index; both are sorted.
  void match_listing() {
    const size_t count = is_listed_ ? listing_.images.size() : known_.size();
    found_.resize(count);
    if (!is_listed_) return;
    earlier_.resize(count, kNew);
    next_known_.resize(count);
    size_t at = 0;
    for (size_t i = 0; i < count && at < known_.size(); ++i) {
      while (at < known_.size() && known_[at].name < listing_.images[i]) ++at;
      if (at < known_.size() && known_[at].name == listing_.images[i]) earlier_[i] = static_cast<uint32_t>(at);
    }
  }

  void scan(size_t i, ScanBuffers& buffers) {
    const uint32_t number = is_listed_ ? earlier_[i] : static_cast<uint32_t>(i);
    const uint8_t same = number == kNew ? uint8_t{kNothing} : unchanged_[number];
    IndexedImage image = number == kNew ? IndexedImage{} : known_[number];
    if (is_listed_) image.name = listing_.images[i];
    FolderImage& found = found_[i];
    found.path.reserve(prefix_.size() + image.name.size());
    found.path.append(prefix_).append(image.name);
    try {
      if ((same & kImage) == 0) read_header_or_cache(found, image, buffers);
      if (is_listed_) find_shown_size(image);
      found.size = image.shown_size;
      found.is_turned = image.is_turned;
      if ((same & kCaption) == 0) read_caption_file(image, buffers);
      found.caption = caption_of(found.path, image, buffers);
    } catch (const FileError& error) {
      found.problem = std::make_shared<const FileError>(error);
      image.image = {};
      is_changed_ = true;
    }
    if (is_listed_) next_known_[i] = image;
  }

  /// An image that cannot be read is still known by the name of its latent cache: training from the cache needs no
  /// more.
  void read_header_or_cache(const FolderImage& found, IndexedImage& image, ScanBuffers& buffers) {
    try {
      read_header(found.path, image, buffers);
    } catch (const FileError& error) {
      image.size = listing_.size_with_caches(image.name, {});
      if (image.size == Size{}) throw;
      image.image = {};  // looked at again the next time
      log::warn("{}\nIts size {} is taken from the name of its latent cache.", error.what(), to_string(image.size));
    }
  }

  void read_header(const std::string& path, IndexedImage& image, ScanBuffers& buffers) {
    is_changed_ = true;
    const OpenedEntry file(descriptor_, image.name.data());
    image.image = file.is_regular() ? settled(file.stamp()) : FileStamp{};
    std::optional<io::ImageHeader> header;
    for (const size_t bytes : {kMostHeaders, kLongHeaders}) {
      if (!file.is_regular() || header) break;
      const size_t got = file.read(buffers.bytes.data(), bytes);
      header = io::header_in({reinterpret_cast<const uint8_t*>(buffers.bytes.data()), got}, got == file.size());
      if (got == file.size()) break;
    }
    if (!header) header = io::read_image_header(path);  // says what is wrong
    image.size = {header->width, header->height};
    image.is_turned = header->is_turned;
  }

  void find_shown_size(IndexedImage& image) {
    const Size shown = listing_.size_with_caches(image.name, image.size);
    if (shown == image.shown_size) return;
    image.shown_size = shown;
    is_changed_ = true;
  }

  /// The bytes of the caption file beside the image.
  void read_caption_file(IndexedImage& image, ScanBuffers& buffers) {
    buffers.name.assign(image.name.substr(0, image.name.rfind('.'))).append(rules_.extension);
    const OpenedEntry file(descriptor_, buffers.name.c_str());
    is_changed_ = is_changed_ || file.is_regular() || !image.caption_name.empty();
    image.caption_name = image.caption_text = {};
    image.caption = {};
    if (!file.is_regular()) return;
    if (file.size() + 1 > buffers.bytes.size()) buffers.bytes.resize(file.size() + 1);
    const size_t got = file.read(buffers.bytes.data(), file.size());
    image.caption_name = buffers.keeper.keep({buffers.name.c_str(), buffers.name.size() + 1});
    image.caption_name.remove_suffix(1);
    image.caption = got == file.size() ? settled(file.stamp()) : FileStamp{};
    image.caption_text = buffers.keeper.keep({buffers.bytes.data(), got});
  }

  StoredCaption caption_of(const std::string& path, const IndexedImage& image, ScanBuffers& buffers) const {
    if (image.caption_name.empty()) return caption_elsewhere(path, rules_);
    buffers.name.assign(prefix_).append(image.caption_name);
    return {parse_caption(buffers.name, image.caption_text, rules_.all_lines), true};
  }

  /// Writes the index anew, or notes in it that the folder needs no listing while it stays as it is.
  void remember() {
    const bool is_new = is_changed_ || known_.size() != found_.size() || !same_extension_;
    if (!is_listed_) return;
    if (is_new && (found_.size() >= options_.index_from || known_.size() > 0)) {
      write_folder_index(folder_, rules_.extension, next_known_);
    }
    const bool is_settled = listing_.is_plain && changed_ns_ <= started_ns_ - options_.settled_ns;
    if (!is_new && is_settled && known_.size() > 0) known_.note_folder(folder_, changed_ns_);
  }

  const std::string& folder_;
  const CaptionFileRules& rules_;
  const FolderScanOptions options_;
  const int64_t started_ns_ = now_ns();
  const FolderIndex known_;
  int descriptor_ = -1;
  std::string prefix_;
  int64_t changed_ns_ = -1;      // of the folder, before it is listed
  bool same_extension_ = false;  // of captions, as in the index
  bool is_listed_ = true;        // false: the folder is as when the index was written
  FolderListing listing_;
  std::vector<uint8_t> unchanged_;        // per image of the index
  std::vector<uint32_t> earlier_;         // per image of the listing: its number in the index, or kNew
  std::vector<IndexedImage> next_known_;  // likewise
  std::vector<FolderImage> found_;
  std::vector<std::unique_ptr<TextKeeper>> keepers_;  // one a thread
  std::atomic<bool> is_changed_ = false;
};

}  // namespace

std::vector<FolderImage> scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                           const FolderScanOptions& options) {
  return FolderScan(folder, rules, options).run();
}

}  // namespace loraptor::data
