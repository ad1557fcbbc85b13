// Shards: records of named arrays in a file that grows.
#include "io/shard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/shard_record.h"
#include "tensor/dtype.h"

namespace loraptor::io {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kShardMagic = "loraptor shard 1\n";
constexpr std::string_view kIndexMagic = "loraptor index 1\n";
constexpr uint64_t kHeadBytes = kShardAlignment;  // magic, zeros, and in the last eight bytes the shard's id

static_assert(sizeof(ShardPlace) == 40);

fs::path index_of(const fs::path& shard) { return shard.string() + ".index"; }

uint64_t draw_id() {
  std::random_device device;
  return uint64_t{device()} << 32 ^ device();
}

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

/// The array as it is stored: on the CPU, without gaps, bfloat16 where that loses nothing.
at::Tensor stored_form(const at::Tensor& array) {
  at::Tensor stored = array.detach().to(at::kCPU).contiguous();
  if (stored.scalar_type() != at::kFloat) return stored;
  const at::Tensor half = stored.to(at::kBFloat16);
  return at::equal(half.to(at::kFloat), stored) ? half : stored;
}

}  // namespace

uint64_t shard_key(std::string_view name) { return xxh3(name); }

/// The opened file, kept open by its records too.
class ShardFile::Descriptor : public ShardBytes {
 public:
  Descriptor(const fs::path& path, int flags) : path_(path), number_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (number_ < 0) throw FileError(path, fmt::format("cannot be opened: {}.", std::strerror(errno)));
  }
  ~Descriptor() override { ::close(number_); }

  uint64_t size() const override {
    struct stat status {};
    if (::fstat(number_, &status) != 0) throw FileError(path_, "cannot be read.");
    return static_cast<uint64_t>(status.st_size);
  }
  const fs::path& path() const override { return path_; }
  bool read(void* to, uint64_t begin, uint64_t bytes) const override {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t got =
          ::pread(number_, static_cast<char*>(to) + done, bytes - done, static_cast<off_t>(begin + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw FileError(path_, begin + done, fmt::format("cannot be read: {}.", std::strerror(errno)));
      if (got == 0) return false;
      done += static_cast<uint64_t>(got);
    }
    return true;
  }
  void write(const void* from, uint64_t begin, uint64_t bytes) const {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t put =
          ::pwrite(number_, static_cast<const char*>(from) + done, bytes - done, static_cast<off_t>(begin + done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) throw FileError(path_, fmt::format("cannot be written: {}.", std::strerror(errno)));
      done += static_cast<uint64_t>(put);
    }
  }
  void cut(uint64_t size) const {
    if (::ftruncate(number_, static_cast<off_t>(size)) != 0) {
      throw FileError(path_, fmt::format("cannot be shortened: {}.", std::strerror(errno)));
    }
  }
  void flush() const {
    if (::fsync(number_) != 0) throw FileError(path_, fmt::format("cannot be flushed: {}.", std::strerror(errno)));
  }

 private:
  fs::path path_;
  int number_;
};

ShardFile::ShardFile(fs::path path, std::shared_ptr<Descriptor> file)
    : path_(std::move(path)), file_(std::move(file)) {}

ShardFile::~ShardFile() = default;

std::unique_ptr<ShardFile> ShardFile::open(const fs::path& path) {
  std::unique_ptr<ShardFile> shard(new ShardFile(path, std::make_shared<Descriptor>(path, O_RDONLY)));
  shard->read_head();
  return shard;
}

std::unique_ptr<ShardFile> ShardFile::open_to_append(const fs::path& path) {
  std::unique_ptr<ShardFile> shard(new ShardFile(path, std::make_shared<Descriptor>(path, O_RDWR | O_CREAT)));
  if (shard->file_->size() < kHeadBytes) {
    std::array<char, kHeadBytes> head{};
    const uint64_t id = draw_id();
    kShardMagic.copy(head.data(), kShardMagic.size());
    std::memcpy(head.data() + kHeadBytes - sizeof id, &id, sizeof id);
    shard->file_->write(head.data(), 0, head.size());
  }
  shard->read_head();
  shard->news_ = shard->news();
  shard->file_->cut(shard->end_);
  return shard;
}

void ShardFile::read_head() {
  std::array<char, kHeadBytes> head;
  if (!file_->read(head.data(), 0, head.size())) return;
  if (!std::string_view(head.data(), head.size()).starts_with(kShardMagic)) {
    throw FileError(path_,
                    "got a file that is no shard of this version, expected a shard of caches.\n"
                    "Hint: delete it; its caches are made again.");
  }
  std::memcpy(&id_, head.data() + kHeadBytes - sizeof id_, sizeof id_);
  end_ = kHeadBytes;
}

void ShardFile::read_index() {
  is_indexed_ = true;
  std::error_code none;
  if (!fs::is_regular_file(index_of(path_), none)) return;
  const std::string text = read_file(index_of(path_));
  constexpr size_t kFixed = 24 + 3 * sizeof(uint64_t);  // magic and zeros; id, end of the records, checksum
  if (text.size() < kFixed || (text.size() - kFixed) % sizeof(ShardPlace) != 0 || !text.starts_with(kIndexMagic))
    return;
  uint64_t id, end, checksum;
  std::memcpy(&id, text.data() + 24, sizeof id);
  std::memcpy(&end, text.data() + 32, sizeof end);
  std::memcpy(&checksum, text.data() + text.size() - sizeof checksum, sizeof checksum);
  const bool is_whole = checksum == xxh3(std::string_view(text).substr(0, text.size() - sizeof checksum));
  if (!is_whole || id != id_ || end > file_->size() || end < kHeadBytes) return;
  places_.resize((text.size() - kFixed) / sizeof(ShardPlace));
  if (!places_.empty()) std::memcpy(places_.data(), text.data() + 40, places_.size() * sizeof(ShardPlace));
  for (const ShardPlace& place : places_) last_sequence_ = std::max(last_sequence_, place.sequence);
  end_ = end;
}

bool ShardFile::find_record(ShardPlace& place) const {
  try {
    const auto record = read_shard_record(file_, end_);
    if (record == nullptr || !record->is_whole()) return false;
    place = record->place();
    return true;
  } catch (const FileError&) {  // another process is at it, or was killed
    return false;
  }
}

void ShardFile::add(const ShardPlace& place) {
  places_.push_back(place);
  end_ = shard_record_end(place);
  last_sequence_ = std::max(last_sequence_, place.sequence);
}

std::vector<ShardPlace> ShardFile::news() {
  if (id_ == 0 && end_ == 0) read_head();
  if (end_ == 0) return {};
  const size_t known = places_.size();
  std::vector<ShardPlace> found = std::exchange(news_, {});
  if (!is_indexed_) read_index();
  const uint64_t size = file_->size();
  for (ShardPlace place; end_ < size && find_record(place);) {
    add(place);
  }
  found.insert(found.end(), places_.begin() + static_cast<std::ptrdiff_t>(known), places_.end());
  return found;
}

std::shared_ptr<const ShardRecord> ShardFile::record(const ShardPlace& place) const {
  auto record = read_shard_record(file_, place.begin_bytes);
  if (record == nullptr || record->place().key != place.key) {
    throw FileError(path_, place.begin_bytes,
                    "record of the shard: got other bytes than were written.\n"
                    "Hint: delete the shard; its caches are made again.");
  }
  return record;
}

ShardPlace ShardFile::append(const std::string& name, const NamedTensors& arrays, const json& note) {
  NamedTensors stored;
  for (const auto& [array, numbers] : arrays) stored.emplace_back(array, stored_form(numbers));
  // Later than every record that there is, whatever the clock says.
  const uint64_t sequence = std::max(now_ns(), last_sequence_ + 1);
  const std::string bytes = shard_record_bytes(name, stored, note, sequence);
  try {
    file_->write(bytes.data(), end_, bytes.size());
  } catch (const FileError&) {
    file_->cut(end_);
    throw;
  }
  const auto record = read_shard_record(file_, end_);
  LORAPTOR_ASSERT(record != nullptr);
  add(record->place());
  return places_.back();
}

void ShardFile::flush() {
  file_->flush();
  std::string text(kIndexMagic);
  text.resize(24);
  text.append(reinterpret_cast<const char*>(&id_), sizeof id_)
      .append(reinterpret_cast<const char*>(&end_), sizeof end_);
  text.append(reinterpret_cast<const char*>(places_.data()), places_.size() * sizeof(ShardPlace));
  const uint64_t checksum = xxh3(text);
  text.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  AtomicFile index(index_of(path_));
  index.write(text);
  index.commit(AtomicFile::Flush::no);  // its checksum shows whether it is whole, and it can be made again
}

}  // namespace loraptor::io
