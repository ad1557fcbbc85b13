#include "io/npz.h"

#include <fmt/format.h>
#include <zip.h>

#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/npy_header.h"

namespace loraptor::io {
namespace fs = std::filesystem;

struct ZipEntry {
  uint64_t index = 0;  // in the archive
  uint64_t size_bytes = 0;
  uint32_t checksum = 0;
};

namespace {

constexpr std::string_view kSuffix = ".npy";
constexpr uint64_t kMaxDeflateFactor = 1032;  // deflate cannot pack more into a byte
constexpr uint64_t kMaxEntryBytes = uint64_t{1} << 40;

std::string text_of(zip_error_t* error) {
  std::string text = zip_error_strerror(error);
  zip_error_fini(error);
  return text;
}

/// Call before archives are opened. libzip 1.7's zip_open_from_source keeps what it needs of a source in static
/// variables, which the first call sets: a thread that writes an archive meanwhile would find it read-only.
void prepare_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    zip_source_t* const memory = zip_source_buffer_create(nullptr, 0, 0, nullptr);
    zip_t* const zip = memory == nullptr ? nullptr : zip_open_from_source(memory, ZIP_TRUNCATE, nullptr);
    if (zip != nullptr) {
      zip_discard(zip);  // with its source
    } else if (memory != nullptr) {
      zip_source_free(memory);
    }
  });
}

/// One entry that is being read from its beginning.
class ZipEntryReader {
 public:
  ZipEntryReader(zip_t* zip, const NpyPlace& where, const ZipEntry& entry)
      : where_(where), left_(entry.size_bytes), file_(zip_fopen_index(zip, entry.index, 0), zip_fclose) {
    if (!file_) fail(zip_strerror(zip));
  }

  void read(char* to, uint64_t bytes) {
    while (bytes > 0) {
      const zip_int64_t got = zip_fread(file_.get(), to, bytes);
      if (got <= 0) fail(got < 0 ? zip_file_strerror(file_.get()) : "the data end too early");
      to += got;
      bytes -= static_cast<uint64_t>(got);
      left_ -= static_cast<uint64_t>(got);
    }
    // The library compares the checksum only when it is asked for more than there is.
    char nothing;
    if (left_ == 0 && zip_fread(file_.get(), &nothing, 1) != 0) fail(zip_file_strerror(file_.get()));
  }

 private:
  [[noreturn]] void fail(const char* why) const {
    throw FileError(where_.path, fmt::format("array '{}' cannot be read: {}.\n"
                                             "Hint: if it is a cache, delete the file; it is made again. `loraptor "
                                             "dataset` names all that are damaged.",
                                             where_.name, why));
  }

  NpyPlace where_;
  uint64_t left_;
  std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file_;
};

}  // namespace

struct NpzFile::Archive {
  fs::path path;
  std::unique_ptr<zip_t, void (*)(zip_t*)> zip{nullptr, zip_discard};
  std::vector<std::string> names;
  std::unordered_map<std::string, ZipEntry> entries;

  void add(uint64_t index, uint64_t file_bytes);
  const ZipEntry& entry(const std::string& name) const {
    const auto found = entries.find(name);
    if (found == entries.end()) throw FileError(path, fmt::format("array '{}': got none, expected one.", name));
    return found->second;
  }
};

void NpzFile::Archive::add(uint64_t index, uint64_t file_bytes) {
  zip_stat_t status;
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_CRC | ZIP_STAT_COMP_METHOD;
  if (zip_stat_index(zip.get(), index, 0, &status) != 0 || (status.valid & kNeeded) != kNeeded) {
    throw FileError(path, fmt::format("entry {} of the archive cannot be read.", index));
  }
  std::string name = status.name;
  if (!name.ends_with(kSuffix)) return;
  name.resize(name.size() - kSuffix.size());
  const bool is_stored = status.comp_method == ZIP_CM_STORE;
  if (!is_stored && status.comp_method != ZIP_CM_DEFLATE) {
    throw FileError(path, fmt::format("array '{}': got compression method {}, expected stored or deflated.", name,
                                      status.comp_method));
  }
  const uint64_t limit = is_stored ? status.comp_size : (status.comp_size + 1) * kMaxDeflateFactor;
  if (status.comp_size > file_bytes || status.size > limit || status.size > kMaxEntryBytes) {
    throw FileError(
        path, fmt::format("array '{}': got a size of {} bytes in a file of {} bytes.", name, status.size, file_bytes));
  }
  if (!entries.emplace(name, ZipEntry{index, status.size, status.crc}).second) {
    throw FileError(path, fmt::format("array '{}': got it twice, expected it once.", name));
  }
  names.push_back(name);
}

NpzFile::NpzFile(fs::path path) : archive_(std::make_unique<Archive>()) {
  archive_->path = std::move(path);
  std::error_code code;
  const uint64_t file_bytes = fs::file_size(archive_->path, code);
  if (code) throw FileError(archive_->path, fmt::format("cannot be read: {}.", code.message()));
  prepare_library();
  int why = 0;
  archive_->zip.reset(zip_open(archive_->path.c_str(), ZIP_RDONLY, &why));
  if (!archive_->zip) {
    zip_error_t error;
    zip_error_init_with_code(&error, why);
    throw FileError(archive_->path, fmt::format("is no whole npz archive: {}.", text_of(&error)));
  }
  const zip_int64_t count = zip_get_num_entries(archive_->zip.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) archive_->add(static_cast<uint64_t>(i), file_bytes);
}

NpzFile::~NpzFile() = default;
NpzFile::NpzFile(NpzFile&&) noexcept = default;
NpzFile& NpzFile::operator=(NpzFile&&) noexcept = default;

const fs::path& NpzFile::path() const { return archive_->path; }
const std::vector<std::string>& NpzFile::names() const { return archive_->names; }
bool NpzFile::has(const std::string& name) const { return archive_->entries.count(name) != 0; }
uint32_t NpzFile::checksum(const std::string& name) const { return archive_->entry(name).checksum; }

NpyInfo NpzFile::info(const std::string& name) const {
  const ZipEntry& entry = archive_->entry(name);
  const NpyPlace where{archive_->path, name};
  ZipEntryReader reader(archive_->zip.get(), where, entry);
  return read_npy_header(
             where, [&](char* to, uint64_t bytes) { reader.read(to, bytes); }, entry.size_bytes)
      .info;
}

at::Tensor NpzFile::read(const std::string& name) const {
  const ZipEntry& entry = archive_->entry(name);
  const NpyPlace where{archive_->path, name};
  ZipEntryReader reader(archive_->zip.get(), where, entry);
  const auto read = [&](char* to, uint64_t bytes) { reader.read(to, bytes); };
  const NpyHeader header = read_npy_header(where, read, entry.size_bytes);
  std::vector<int64_t> shape = header.info.shape;
  if (header.info.fortran_order) std::reverse(shape.begin(), shape.end());
  at::Tensor tensor = at::empty(shape, header.info.dtype);
  read(static_cast<char*>(tensor.mutable_data_ptr()), header.data_bytes);
  if (!header.info.fortran_order) return tensor;
  std::vector<int64_t> axes(shape.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(axes.size() - 1 - i);
  return tensor.permute(axes).contiguous();
}

std::string NpzFile::read_bytes(const std::string& name) const {
  const ZipEntry& entry = archive_->entry(name);
  std::string bytes(entry.size_bytes, '\0');
  ZipEntryReader(archive_->zip.get(), {archive_->path, name}, entry).read(bytes.data(), bytes.size());
  return bytes;
}

namespace {

/// An archive that is put together in memory.
class ArchiveBuilder {
 public:
  explicit ArchiveBuilder(fs::path path) : path_(std::move(path)) {
    prepare_library();
    zip_error_t error;
    zip_error_init(&error);
    memory_ = zip_source_buffer_create(nullptr, 0, 0, &error);
    if (memory_ != nullptr) zip_ = zip_open_from_source(memory_, ZIP_TRUNCATE, &error);
    if (zip_ == nullptr) fail(zip_error_strerror(&error));
    zip_error_fini(&error);
    zip_source_keep(memory_);
  }
  ~ArchiveBuilder() {
    if (zip_ != nullptr) zip_discard(zip_);
    if (memory_ != nullptr) zip_source_free(memory_);
  }
  ArchiveBuilder(const ArchiveBuilder&) = delete;
  ArchiveBuilder& operator=(const ArchiveBuilder&) = delete;

  /// The bytes must live until write().
  void add(const std::string& name, std::string_view header, std::string_view data) {
    zip_buffer_fragment_t pieces[] = {{reinterpret_cast<zip_uint8_t*>(const_cast<char*>(header.data())), header.size()},
                                      {reinterpret_cast<zip_uint8_t*>(const_cast<char*>(data.data())), data.size()}};
    zip_source_t* source = zip_source_buffer_fragment(zip_, pieces, data.empty() ? 1 : 2, 0);
    const std::string entry = name + std::string(kSuffix);
    const zip_int64_t index = source == nullptr ? -1 : zip_file_add(zip_, entry.c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
      zip_source_free(source);
      fail(zip_strerror(zip_));
    }
    constexpr zip_uint16_t kMidnight = 0, kFirstOf1980 = 0x21;  // as NumPy writes it
    const auto number = static_cast<zip_uint64_t>(index);
    if (zip_set_file_compression(zip_, number, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(zip_, number, kMidnight, kFirstOf1980, 0) != 0) {
      fail(zip_strerror(zip_));
    }
  }

  void write() {
    if (zip_close(zip_) != 0) fail(zip_strerror(zip_));
    zip_ = nullptr;
    zip_stat_t status;
    if (zip_source_stat(memory_, &status) != 0 || zip_source_open(memory_) != 0) fail("out of memory");
    std::unique_ptr<zip_source_t, int (*)(zip_source_t*)> opened(memory_, zip_source_close);
    AtomicFile file(path_);
    std::vector<char> piece(1 << 20);
    for (uint64_t left = status.size; left > 0;) {
      const zip_int64_t got = zip_source_read(memory_, piece.data(), std::min<uint64_t>(left, piece.size()));
      if (got <= 0) fail("out of memory");
      file.write(piece.data(), static_cast<size_t>(got));
      left -= static_cast<uint64_t>(got);
    }
    file.commit();
  }

 private:
  [[noreturn]] void fail(const char* why) const {
    throw FileError(path_, fmt::format("npz archive cannot be made: {}.", why));
  }

  fs::path path_;
  zip_source_t* memory_ = nullptr;
  zip_t* zip_ = nullptr;
};

}  // namespace

void write_npz(const fs::path& path, const NamedTensors& tensors, const NpzFile* keep,
               const std::function<bool(const std::string&)>& without) {
  ArchiveBuilder archive(path);
  std::vector<std::string> texts;  // headers and kept entries
  std::vector<at::Tensor> numbers;
  texts.reserve(tensors.size() + (keep == nullptr ? 0 : keep->names().size()));
  if (keep != nullptr) {
    std::unordered_set<std::string> replaced;
    for (const auto& [name, tensor] : tensors) replaced.insert(name);
    for (const std::string& name : keep->names()) {
      if (replaced.count(name) != 0 || (without && without(name))) continue;
      texts.push_back(keep->read_bytes(name));
      archive.add(name, texts.back(), {});
    }
  }
  for (const auto& [name, tensor] : tensors) {
    numbers.push_back(tensor.detach().to(at::kCPU).contiguous());
    texts.push_back(npy_header(tensor.scalar_type(), tensor.sizes()));
    archive.add(name, texts.back(),
                {static_cast<const char*>(numbers.back().const_data_ptr()), numbers.back().nbytes()});
  }
  archive.write();
}

}  // namespace loraptor::io
