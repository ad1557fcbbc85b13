// The images of one folder with their sizes and captions.
#include "data/folder_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/folder_index.h"
#include "data/image_listing.h"
#include "data/scan_threads.h"
#include "data/text_keeper.h"
#include "io/image.h"

namespace loraptor::data {
namespace {

constexpr size_t kLeastEntryBytes = 16;  // of a folder's own size, for each file in it

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What one thread needs for its work.
struct ScanBuffers {
  TextKeeper& found;  // texts of what is found
  TextKeeper& known;  // texts for the index
  std::string bytes{};
  std::string name{};
  std::string joined{};
  size_t cache_place = 0;  // in FolderListing::cached_sizes
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
    const auto [changed_ns, bytes] = folder_state();
    changed_ns_ = changed_ns;
    is_settled_ = changed_ns <= started_ns_ - options.settled_ns;
    looks_large_ = bytes / kLeastEntryBytes >= options.index_from;
    if (looks_large_ && descriptor_ >= 0 && make_index_folder(folder)) note_own_change();
    same_extension_ = known_.caption_extension() == rules.extension;
    is_same_folder_ = known_.size() > 0 && same_extension_ && known_.folder_changed_ns() == changed_ns_;
    for (auto* keepers : {&found_texts_, &known_texts_}) {
      while (keepers->size() < kMostScanThreads) keepers->push_back(std::make_shared<TextKeeper>());
    }
  }
  ~FolderScan() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderScan(const FolderScan&) = delete;
  FolderScan& operator=(const FolderScan&) = delete;

  /// Call once.
  FolderContent run() {
    is_listed_ = !is_same_folder_ || !take_all_from_index();
    if (is_listed_) {
      list();
      scan_listing();
    }
    return gather();
  }

  bool is_listed() const { return is_listed_; }

  /// After run(), if the folder was listed: writes the index anew, or notes in it that the folder needs no listing
  /// while it stays as it is.
  void remember() const {
    const size_t count = listing_.images.size();
    const bool is_new = is_changed_ || known_.size() != count || !same_extension_;
    const int64_t listed_ns = listing_.is_plain && is_settled_ ? changed_ns_ : 0;
    if (!is_new) {
      if (listed_ns != 0 && known_.size() > 0) known_.note_folder(folder_, listed_ns);
    } else if (count >= options_.index_from || known_.size() > 0) {
      write_folder_index(folder_, rules_.extension, next_known_, listed_ns);
    } else {
      remove_empty_index_folder(folder_);  // it looked larger than it is
    }
  }

 private:
  static constexpr uint32_t kNew = UINT32_MAX;

  enum class State : uint8_t { good, without_caption, unreadable };

  ScanBuffers buffers_of(size_t thread) { return {*found_texts_[thread], *known_texts_[thread]}; }

  /// Nothing came and nothing went. False if a file is not as it was: what is in the folder is gathered anew then, as
  /// a new index needs the names of caches.
  bool take_all_from_index() {
    set_count(known_.size());
    std::atomic<bool> all_same = true;
    Turns turns(known_.size());
    run_scan_threads(known_.size(), [&](size_t thread) {
      ScanBuffers buffers = buffers_of(thread);
      turns.each([&](size_t i) {
        IndexedImage known = known_[i];
        unchanged_[i] = compare(known);
        if (unchanged_[i] != kAll) all_same = false;
        if (all_same) fill(i, known, kAll, buffers);
      });
    });
    return all_same;
  }

  /// One thread lists; the others compare what the index knows or, in a large folder without an index, read what is
  /// listed so far. What nobody read is read once the number of images is known.
  void list() {
    const bool reads_ahead = known_.size() == 0 && looks_large_;
    Turns turns(is_same_folder_ ? 0 : known_.size());
    run_scan_threads(reads_ahead ? SIZE_MAX : known_.size(), [&](size_t thread) {
      if (thread == 0) {
        const ReadAhead::Filling filling(ahead_);
        listing_ = list_folder(folder_, reads_ahead ? [this](auto names) { ahead_.add(names); } : NamesFound{});
      }
      turns.each([&](size_t i) { unchanged_[i] = compare(known_[i]); });
      ScanBuffers buffers = buffers_of(thread);
      for (auto images = ahead_.take(); !images.empty(); images = ahead_.take()) {
        for (AheadImage& image : images) read_ahead(image, buffers);
      }
    });
  }

  /// What is new or changed is read.
  void scan_listing() {
    set_count(listing_.images.size());
    next_known_.resize(listing_.images.size());
    if (ahead_.empty()) compared_.resize(listing_.images.size());
    const std::vector<uint32_t> earlier = find_in_index();
    Turns turns(listing_.images.size());
    run_scan_threads(listing_.images.size(), [&](size_t thread) {
      ScanBuffers buffers = buffers_of(thread);
      turns.each([&](size_t i) {
        if (!ahead_.empty()) return take_ahead(i, ahead_[listing_.places[i]], buffers);
        IndexedImage& image = compared_[i];
        next_known_[i] = &image;
        if (earlier[i] != kNew) image = known_[earlier[i]];
        image.name = listing_.images[i];
        fill(i, image, earlier[i] == kNew ? uint8_t{kNothing} : unchanged_[earlier[i]], buffers);
      });
    });
  }

  /// The folder's own last change, and its size; -1 and 0 if it cannot be told.
  std::pair<int64_t, size_t> folder_state() const {
    struct stat status {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) return {-1, 0};
    return {nanoseconds(status.st_ctim), static_cast<size_t>(status.st_size)};
  }

  /// The folder for the index was made just now. Once the clock of the file system has gone on, a later change gets
  /// another time. A clock whose times are round goes on too rarely to be waited for.
  void note_own_change() {
    constexpr auto kLongestTick = std::chrono::milliseconds(20);
    constexpr int64_t kRoundNs = 1'000'000;
    changed_ns_ = folder_state().first;
    std::this_thread::sleep_for(kLongestTick);
    is_settled_ = changed_ns_ % kRoundNs != 0 && folder_state().first == changed_ns_;
  }

  void set_count(size_t count) {
    images_.clear();
    images_.resize(count);
    states_.assign(count, State::good);
    errors_.clear();
    other_headers_.clear();
  }

  /// The number in the index of each image of the listing, or kNew; both are sorted.
  std::vector<uint32_t> find_in_index() const {
    std::vector<uint32_t> earlier(listing_.images.size(), kNew);
    size_t at = 0;
    for (size_t i = 0; i < earlier.size() && at < known_.size(); ++i) {
      while (at < known_.size() && known_[at].name < listing_.images[i]) ++at;
      if (at < known_.size() && known_[at].name == listing_.images[i]) earlier[i] = static_cast<uint32_t>(at);
    }
    return earlier;
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

  uint8_t compare(const IndexedImage& known) const {
    uint8_t same = has_stamp(known.name, known.image) ? kImage : kNothing;
    const bool has_caption = same_extension_ && !known.caption_name.empty();
    // Without one, the folder's own time shows that none came.
    if (has_caption ? has_stamp(known.caption_name, known.caption) : is_same_folder_) same |= kCaption;
    return same;
  }

  /// Reads an image of a folder without index.
  void read_ahead(AheadImage& ahead, ScanBuffers& buffers) {
    try {
      read_caption_file(ahead.image, buffers);
      read_header(ahead.image, buffers);
      ahead.path = buffers.found.keep(prefix_, ahead.image.name);
      std::tie(ahead.caption, ahead.has_caption) = caption_of(ahead.path, ahead.image, buffers);
      ahead.is_read = true;
    } catch (const FileError&) {
      // It is read again, and told then.
    }
  }

  /// Makes images_[i] of what was read of it, now that all names of caches are known.
  void take_ahead(size_t i, AheadImage& ahead, ScanBuffers& buffers) {
    next_known_[i] = &ahead.image;
    if (!ahead.is_read) return fill(i, ahead.image, kNothing, buffers);
    find_shown_size(ahead.image, buffers);
    images_[i] = {ahead.path, ahead.caption, ahead.caption, ahead.image.shown_size};
    images_[i].is_turned = ahead.image.is_turned;
    note_header(ahead.path, ahead.image);
    if (!ahead.has_caption) states_[i] = State::without_caption;
  }

  /// Makes images_[i] of what is known of it and, where that is no longer so, of its files, which are known then.
  void fill(size_t i, IndexedImage& image, uint8_t same, ScanBuffers& buffers) {
    ScannedImage& found = images_[i];
    found.path = buffers.found.keep(prefix_, image.name);
    try {
      if ((same & kImage) == 0) read_header_or_cache(image, buffers);
      if (same != kAll || !is_same_folder_) find_shown_size(image, buffers);
      found.size = image.shown_size;
      note_header(found.path, image);
      found.is_turned = image.is_turned;
      if ((same & kCaption) == 0) read_caption_file(image, buffers);
      bool has_caption = false;
      std::tie(found.caption, has_caption) = caption_of(found.path, image, buffers);
      found.tags = found.caption;
      if (!has_caption) states_[i] = State::without_caption;
    } catch (const FileError& error) {
      states_[i] = State::unreadable;
      const std::lock_guard lock(mutex_);
      errors_.emplace(i, error);
      image.image = {};
      is_changed_ = true;
    }
  }

  /// An image that cannot be read is still known by the name of its latent cache: training from the cache needs no
  /// more.
  void read_header_or_cache(IndexedImage& image, ScanBuffers& buffers) {
    try {
      read_header(image, buffers);
    } catch (const FileError& error) {
      image.size = listing_.size_with_caches(image.name, {}, buffers.cache_place);
      if (image.size == Size{}) throw;
      image.image = {};  // looked at again the next time
      log::warn("{}\nIts size {} is taken from the name of its latent cache.", error.what(), to_string(image.size));
    }
  }

  void read_header(IndexedImage& image, ScanBuffers& buffers) {
    note_change();
    const OpenedEntry file(descriptor_, image.name.data());
    image.image = file.is_regular() ? settled(file.stamp()) : FileStamp{};
    std::optional<io::ImageHeader> header = file.image_header(buffers.bytes);
    if (!header) header = io::read_image_header(prefix_ + std::string(image.name));  // says what is wrong
    image.size = {header->width, header->height};
    image.is_turned = header->is_turned;
  }

  void find_shown_size(IndexedImage& image, ScanBuffers& buffers) {
    const Size shown = listing_.size_with_caches(image.name, image.size, buffers.cache_place);
    if (shown == image.shown_size) return;
    image.shown_size = shown;
    note_change();
  }

  void note_header(std::string_view path, const IndexedImage& image) {
    if (image.shown_size == image.size) return;
    const std::lock_guard lock(mutex_);
    other_headers_.emplace(path, image.size);
  }

  /// The bytes of the caption file beside the image.
  void read_caption_file(IndexedImage& image, ScanBuffers& buffers) {
    buffers.name.assign(image.name.substr(0, image.name.rfind('.'))).append(rules_.extension);
    const OpenedEntry file(descriptor_, buffers.name.c_str());
    if (file.is_regular() || !image.caption_name.empty()) note_change();
    image.caption_name = image.caption_text = {};
    image.caption = {};
    if (!file.is_regular()) return;
    const size_t got = file.read(buffers.bytes, file.size());
    image.caption_name = buffers.known.keep({buffers.name.c_str(), buffers.name.size() + 1});
    image.caption_name.remove_suffix(1);
    image.caption = got == file.size() ? settled(file.stamp()) : FileStamp{};
    image.caption_text = buffers.known.keep({buffers.bytes.data(), got});
  }

  /// The caption, and whether a file has it.
  std::pair<std::string_view, bool> caption_of(std::string_view path, const IndexedImage& image, ScanBuffers& buffers) {
    if (!image.caption_name.empty()) {
      buffers.name.assign(prefix_).append(image.caption_name);
      const auto text = parse_caption(buffers.name, image.caption_text, rules_.all_lines, buffers.joined);
      return {buffers.found.keep(text), true};
    }
    const StoredCaption caption = caption_elsewhere(std::string(path), rules_);
    return {buffers.found.keep(caption.text), caption.found};
  }

  /// Threads that only read it would wait for each other if all wrote it.
  void note_change() {
    if (!is_changed_) is_changed_ = true;
  }

  FolderContent gather() {
    FolderContent content;
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i] == State::without_caption) content.without_caption.emplace_back(images_[i].path);
    }
    for (const auto& [i, error] : errors_) content.unreadable.push_back({std::string(images_[i].path), error});
    content.other_headers = std::move(other_headers_);
    content.found.texts.assign(found_texts_.begin(), found_texts_.end());
    if (errors_.empty()) {
      content.found.images = std::move(images_);
      return content;
    }
    for (size_t i = 0; i < images_.size(); ++i) {
      if (states_[i] != State::unreadable) content.found.images.push_back(images_[i]);
    }
    return content;
  }

  const std::string folder_;
  const CaptionFileRules rules_;
  const FolderScanOptions options_;
  const int64_t started_ns_ = now_ns();
  const FolderIndex known_;
  int descriptor_ = -1;
  std::string prefix_;
  int64_t changed_ns_ = -1;      // of the folder, before it is listed
  bool is_settled_ = false;      // a later change of the folder gets another time
  bool looks_large_ = false;     // judged by the folder's own size, which not every file system tells
  bool same_extension_ = false;  // of captions, as in the index
  bool is_same_folder_ = false;  // as when the index was written, but for what is in the files
  bool is_listed_ = false;
  FolderListing listing_;
  ReadAhead ahead_;                                                       // of a large folder without an index
  std::vector<uint8_t> unchanged_ = std::vector<uint8_t>(known_.size());  // per image of the index
  std::vector<IndexedImage> compared_;                                    // per image of the listing, if not read ahead
  std::vector<const IndexedImage*> next_known_;                           // per image of the listing
  std::vector<ScannedImage> images_;
  std::vector<State> states_;  // per image
  std::mutex mutex_;
  std::map<size_t, FileError> errors_;                                  // of unreadable images
  HeaderSizes other_headers_;                                           // by path
  std::vector<std::shared_ptr<TextKeeper>> found_texts_, known_texts_;  // one a thread
  std::atomic<bool> is_changed_ = false;
};

}  // namespace

FolderContent scan_image_folder(const std::string& folder, const CaptionFileRules& rules,
                                const FolderScanOptions& options) {
  auto scan = std::make_shared<FolderScan>(folder, rules, options);
  FolderContent content = scan->run();
  if (scan->is_listed()) {
    content.found.index_written = in_background([scan = std::move(scan)]() mutable {
      scan->remember();
      scan.reset();  // not when the result is let go of: there is much to free
    });
  }
  return content;
}

}  // namespace loraptor::data
