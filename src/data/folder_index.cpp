// What the last scan found in an image folder.
#include "data/folder_index.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "loraptor scan 2\n";

/// Begins the file, after the magic.
struct IndexHead {
  uint64_t images;
  uint64_t text_bytes;
  uint64_t extension_bytes;  // the caption extension, which begins the texts
};

/// An image in the file; its texts begin at text_begin: name, zero byte, name of the caption, zero byte, caption.
struct IndexRecord {
  FileStamp image;
  FileStamp caption;
  uint64_t text_begin;
  uint32_t name_bytes;
  uint32_t caption_name_bytes;
  uint32_t caption_bytes;
  int32_t width, height;
  int32_t shown_width, shown_height;
  uint32_t is_turned;
};

/// Ends the file. Only the stamp is ever written into a file that is in place; its checksum is that of the rest and it.
struct IndexTail {
  uint64_t checksum;  // of all before
  int64_t folder_changed_ns;
  uint64_t stamp_checksum;
};

static_assert(sizeof(IndexHead) == 24 && sizeof(IndexRecord) == 72 && sizeof(IndexTail) == 24);

constexpr size_t kRecordsBegin = kMagic.size() + sizeof(IndexHead);

fs::path index_folder(const std::string& folder) { return fs::path(folder) / ".loraptor"; }

std::string index_path(const std::string& folder) { return (index_folder(folder) / "scan").string(); }

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

uint64_t stamp_checksum(uint64_t checksum, int64_t changed_ns) {
  const std::array<uint64_t, 2> both{checksum, static_cast<uint64_t>(changed_ns)};
  return xxh3(bytes_of(both));
}

template <class T>
T value_at(const uint8_t* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

uint64_t text_bytes(const IndexedImage& image) {
  return image.name.size() + image.caption_name.size() + image.caption_text.size() + 2;
}

IndexRecord record_of(const IndexedImage& image, uint64_t text_begin) {
  return {image.image,
          image.caption,
          text_begin,
          static_cast<uint32_t>(image.name.size()),
          static_cast<uint32_t>(image.caption_name.size()),
          static_cast<uint32_t>(image.caption_text.size()),
          static_cast<int32_t>(image.size.width),
          static_cast<int32_t>(image.size.height),
          static_cast<int32_t>(image.shown_size.width),
          static_cast<int32_t>(image.shown_size.height),
          image.is_turned};
}

/// Whether all places that the records name are within the texts, and zero bytes follow the names.
bool fits(const IndexHead& head, const uint8_t* records) {
  const auto* texts = records + head.images * sizeof(IndexRecord);
  for (size_t i = 0; i < head.images; ++i) {
    const auto record = value_at<IndexRecord>(records + i * sizeof(IndexRecord));
    const uint64_t bytes = uint64_t{record.name_bytes} + record.caption_name_bytes + record.caption_bytes + 2;
    if (record.text_begin > head.text_bytes || bytes > head.text_bytes - record.text_begin) return false;
    const uint8_t* name_end = texts + record.text_begin + record.name_bytes;
    if (name_end[0] != 0 || name_end[1 + record.caption_name_bytes] != 0) return false;
  }
  return head.extension_bytes <= head.text_bytes;
}

constexpr std::string_view kEnd("\0", 1);  // of a name

/// An index file on its way to the disk.
class IndexFile {
 public:
  explicit IndexFile(const std::string& path) : file_(path) { buffer_.reserve(kBufferBytes); }

  void append(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) write();
    buffer_ += bytes;
  }

  void commit(int64_t folder_changed_ns) {
    write();
    const uint64_t checksum = checksum_.value();
    file_.write(bytes_of(IndexTail{checksum, folder_changed_ns, stamp_checksum(checksum, folder_changed_ns)}));
    // Its checksum shows whether it survived a power cut, and it can be had again.
    file_.commit(AtomicFile::Flush::no);
  }

 private:
  static constexpr size_t kBufferBytes = 256 << 10;

  void write() {
    checksum_.update(buffer_);
    file_.write(buffer_);
    buffer_.clear();
  }

  AtomicFile file_;
  Xxh3 checksum_;
  std::string buffer_;
};

}  // namespace

FolderIndex FolderIndex::read(const std::string& folder) {
  FolderIndex index;
  const std::string path = index_path(folder);
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return {};
  try {
    index.file_ = io::FileBytes::open(path, true);
  } catch (const FileError& error) {
    log::debug("{}", error.what());
    return {};
  }
  const std::string_view all(reinterpret_cast<const char*>(index.file_->data()), index.file_->size());
  if (all.size() < kRecordsBegin + sizeof(IndexTail) || !all.starts_with(kMagic)) return {};
  const size_t body = all.size() - sizeof(IndexTail);
  const auto head = value_at<IndexHead>(index.file_->data() + kMagic.size());
  const auto tail = value_at<IndexTail>(index.file_->data() + body);
  const uint64_t rest = body - kRecordsBegin;
  if (head.images > rest / sizeof(IndexRecord) || head.text_bytes != rest - head.images * sizeof(IndexRecord))
    return {};
  if (tail.checksum != xxh3(all.substr(0, body)) || !fits(head, index.file_->data() + kRecordsBegin)) return {};
  index.size_ = head.images;
  index.records_ = index.file_->data() + kRecordsBegin;
  index.texts_ = all.data() + kRecordsBegin + head.images * sizeof(IndexRecord);
  index.caption_extension_ = {index.texts_, head.extension_bytes};
  const bool is_known = tail.stamp_checksum == stamp_checksum(tail.checksum, tail.folder_changed_ns);
  index.folder_changed_ns_ = is_known ? tail.folder_changed_ns : 0;
  return index;
}

IndexedImage FolderIndex::operator[](size_t i) const {
  const auto record = value_at<IndexRecord>(records_ + i * sizeof(IndexRecord));
  const char* text = texts_ + record.text_begin;
  IndexedImage image;
  image.name = {text, record.name_bytes};
  image.image = record.image;
  image.size = {record.width, record.height};
  image.shown_size = {record.shown_width, record.shown_height};
  image.is_turned = record.is_turned != 0;
  image.caption_name = {text + record.name_bytes + 1, record.caption_name_bytes};
  image.caption = record.caption;
  image.caption_text = {image.caption_name.data() + record.caption_name_bytes + 1, record.caption_bytes};
  return image;
}

void FolderIndex::note_folder(const std::string& folder, int64_t changed_ns) const {
  const size_t body = file_->size() - sizeof(IndexTail);
  const auto checksum = value_at<IndexTail>(file_->data() + body).checksum;
  const IndexTail tail{checksum, changed_ns, stamp_checksum(checksum, changed_ns)};
  // Another process may have put another file there; the checksum keeps the stamp from being taken for its own.
  const int descriptor = ::open(index_path(folder).c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  constexpr size_t kStamp = offsetof(IndexTail, folder_changed_ns);
  const std::string_view bytes = bytes_of(tail).substr(kStamp);
  if (::lseek(descriptor, 0, SEEK_END) == static_cast<off_t>(file_->size()) &&
      ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(body + kStamp)) < 0) {
    log::debug("the next scan will not be faster: {}", std::strerror(errno));
  }
  ::close(descriptor);
}

bool make_index_folder(const std::string& folder) {
  std::error_code none;
  return fs::create_directory(index_folder(folder), none);
}

void remove_empty_index_folder(const std::string& folder) {
  std::error_code not_empty;
  fs::remove(index_folder(folder), not_empty);
}

void write_folder_index(const std::string& folder, const std::string& caption_extension,
                        std::span<const IndexedImage* const> images, int64_t folder_changed_ns) {
  IndexHead head{images.size(), caption_extension.size(), caption_extension.size()};
  for (const IndexedImage* image : images) head.text_bytes += text_bytes(*image);
  make_index_folder(folder);
  try {
    IndexFile file(index_path(folder));
    file.append(kMagic);
    file.append(bytes_of(head));
    uint64_t text_begin = head.extension_bytes;
    for (const IndexedImage* image : images) {
      file.append(bytes_of(record_of(*image, text_begin)));
      text_begin += text_bytes(*image);
    }
    file.append(caption_extension);
    for (const IndexedImage* image : images) {
      for (const std::string_view text : {image->name, kEnd, image->caption_name, kEnd, image->caption_text}) {
        file.append(text);
      }
    }
    file.commit(folder_changed_ns);
  } catch (const FileError& error) {
    log::debug("the next scan will not be faster: {}", error.what());
  }
}

}  // namespace loraptor::data
