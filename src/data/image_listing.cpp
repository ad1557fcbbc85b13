// Which images a folder holds, and how large they are.
#include "data/image_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "data/python_text.h"
#include "io/image.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLatentsEnding = "_sd3.npz";

bool is_image_name(std::string_view name) {
  constexpr std::array<std::string_view, 14> kKnown{".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl",
                                                    ".PNG", ".JPG", ".JPEG", ".WEBP", ".BMP", ".AVIF", ".JXL"};
  const size_t dot = name.rfind('.');  // names that begin with a dot are not asked for
  return dot != std::string_view::npos && std::find(kKnown.begin(), kKnown.end(), name.substr(dot)) != kKnown.end();
}

/// Takes a number of 1 to 9 digits from the end of the text; nullopt if there is none.
std::optional<int64_t> take_number(std::string_view& text) {
  constexpr size_t kMaxDigits = 9;
  const size_t begin = text.find_last_not_of("0123456789") + 1;  // npos + 1 is 0
  const std::string_view digits = text.substr(begin);
  if (digits.empty() || digits.size() > kMaxDigits) return std::nullopt;
  text.remove_suffix(digits.size());
  int64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

bool take_letter(std::string_view& text, char letter) {
  if (!text.ends_with(letter)) return false;
  text.remove_suffix(1);
  return true;
}

/// Notes the size in a name like <stem>_<width>x<height>_sd3.npz; other names are left alone.
void note_cache(std::string_view name, std::vector<CachedSize>& sizes) {
  if (!name.ends_with(kLatentsEnding)) return;
  name.remove_suffix(kLatentsEnding.size());
  const auto height = take_number(name);
  if (!height || !take_letter(name, 'x')) return;
  const auto width = take_number(name);
  if (width && take_letter(name, '_')) sizes.push_back({name, {*width, *height}});
}

/// One entry as the kernel gives it.
struct RawEntry {
  ino64_t inode;
  off64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

/// Reads a folder in large pieces, which the listing keeps: readdir asks for 32 KB at a time and copies each name.
class FolderReader {
 public:
  explicit FolderReader(const std::string& path) : path_(path), descriptor_(::open(path.c_str(), kFlags)) {
    if (descriptor_ < 0) fail();
  }
  ~FolderReader() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderReader(const FolderReader&) = delete;
  FolderReader& operator=(const FolderReader&) = delete;

  FolderListing list(const NamesFound& on_images) {
    // A small folder, the usual case, needs no large piece.
    for (size_t bytes = 32'768;; bytes = kPieceBytes) {
      auto piece = std::make_unique_for_overwrite<char[]>(bytes);
      const long got = ::syscall(SYS_getdents64, descriptor_, piece.get(), bytes);
      if (got < 0) fail();
      if (got == 0) break;
      for (long at = 0; at < got;) {
        const char* name = piece.get() + at + offsetof(RawEntry, name);
        const auto* entry = reinterpret_cast<const RawEntry*>(piece.get() + at);
        at += entry->length;
        if (name[0] != '.') add(*entry, name);
      }
      listing_.texts.push_back(std::move(piece));
      pass_on(on_images);
    }
    listing_.places = sort_names(listing_.images);
    std::sort(listing_.cached_sizes.begin(), listing_.cached_sizes.end(), [](const CachedSize& a, const CachedSize& b) {
      return a.stem != b.stem ? a.stem < b.stem : a.size < b.size;
    });
    return std::move(listing_);
  }

 private:
  static constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  static constexpr size_t kPieceBytes = 1 << 20;

  [[noreturn]] void fail() const {
    throw FileError(path_, fmt::format("folder cannot be listed: {}.", std::strerror(errno)));
  }

  void add(const RawEntry& entry, const char* text) {
    const std::string_view name(text);
    if (entry.type == DT_DIR) return;
    if (entry.type == DT_UNKNOWN || entry.type == DT_LNK) {
      listing_.is_plain = false;
      struct stat status {};
      if (::fstatat(descriptor_, text, &status, 0) == 0 && S_ISDIR(status.st_mode)) return;
    }
    if (is_image_name(name)) {
      found_.emplace_back(entry.inode, name);
    } else {
      note_cache(name, listing_.cached_sizes);
    }
  }

  /// Takes over what the last piece held. Files lie on the disk about as their inodes do.
  void pass_on(const NamesFound& on_images) {
    if (on_images) std::sort(found_.begin(), found_.end());
    const size_t first = listing_.images.size();
    for (const auto& [inode, name] : found_) listing_.images.push_back(name);
    found_.clear();
    if (on_images) on_images(std::span(listing_.images).subspan(first));
  }

  std::string path_;
  int descriptor_;
  FolderListing listing_;
  std::vector<std::pair<ino64_t, std::string_view>> found_;  // images of the last piece
};

/// The eight bytes of a name after `skipped`, as a number that sorts like them.
uint64_t sort_key(std::string_view name, size_t skipped) {
  std::array<unsigned char, 8> bytes{};
  if (name.size() > skipped)
    std::memcpy(bytes.data(), name.data() + skipped, std::min<size_t>(8, name.size() - skipped));
  uint64_t key = 0;
  for (const unsigned char byte : bytes) key = key << 8 | byte;
  return key;
}

/// The sizes of one stem. The search begins at `place`, the end of the last: names are asked for in about their order.
std::span<const CachedSize> sizes_of(const std::vector<CachedSize>& all, std::string_view stem, size_t& place) {
  constexpr ptrdiff_t kSteps = 16;
  const auto is_before = [](const CachedSize& cache, std::string_view wanted) { return cache.stem < wanted; };
  auto begin = all.begin() + static_cast<ptrdiff_t>(place);
  const auto near = begin + std::min<ptrdiff_t>(kSteps, all.end() - begin);
  if (begin != all.begin() && !is_before(*std::prev(begin), stem)) {
    begin = std::lower_bound(all.begin(), begin, stem, is_before);
  } else {
    while (begin != near && is_before(*begin, stem)) ++begin;
    if (begin == near) begin = std::lower_bound(begin, all.end(), stem, is_before);
  }
  place = static_cast<size_t>(begin - all.begin());
  auto end = begin;
  while (end != all.end() && end->stem == stem) ++end;
  return {begin, end};
}

}  // namespace

std::vector<uint32_t> sort_names(std::vector<std::string_view>& names) {
  if (names.empty()) return {};
  size_t common = names.front().size();
  for (const std::string_view name : names) {
    const auto [one, other] = std::mismatch(name.begin(), name.end(), names.front().begin(),
                                            names.front().begin() + static_cast<std::ptrdiff_t>(common));
    common = static_cast<size_t>(one - name.begin());
  }
  std::vector<std::tuple<uint64_t, std::string_view, uint32_t>> keyed;
  keyed.reserve(names.size());
  for (const std::string_view name : names) {
    keyed.emplace_back(sort_key(name, common), name, static_cast<uint32_t>(keyed.size()));
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<uint32_t> places(names.size());
  for (size_t i = 0; i < names.size(); ++i) std::tie(std::ignore, names[i], places[i]) = keyed[i];
  return places;
}

FolderListing list_folder(const std::string& folder, const NamesFound& on_images) {
  return FolderReader(folder.empty() ? "." : folder).list(on_images);
}

std::vector<std::string> list_images(const std::string& folder) {
  std::vector<std::string> paths;
  const FolderListing listing = list_folder(folder);
  for (const std::string_view name : listing.images) paths.push_back((fs::path(folder) / name).string());
  return paths;
}

Size header_size(const std::string& path) {
  const auto [width, height] = io::read_image_size(path);
  return {width, height};
}

Size FolderListing::size_with_caches(std::string_view name, const Size& header, size_t& place) const {
  const std::span<const CachedSize> sizes = sizes_of(cached_sizes, name.substr(0, name.rfind('.')), place);
  if (sizes.empty()) return header;
  const bool is_webp = lower(extension_of(name)) == ".webp";
  if (sizes.size() == 1 && !is_webp) return sizes.front().size;
  // Several caches: the one of the present image counts. The reference reports some WebP files one pixel too small and
  // names their caches so.
  const bool fits = std::any_of(sizes.begin(), sizes.end(), [&](const CachedSize& cache) {
    return cache.size == header || (is_webp && cache.size == Size{header.width - 1, header.height - 1});
  });
  return fits ? header : sizes.front().size;
}

Size SizeFinder::size_of(const std::string& image_path) {
  const std::string folder = fs::path(image_path).parent_path().string();
  auto known = folders_.find(folder);
  if (known == folders_.end()) known = folders_.emplace(folder, list_folder(folder)).first;
  size_t place = 0;
  const Size header = header_size(image_path);
  const Size shown = known->second.size_with_caches(base_name(image_path), header, place);
  if (shown != header) other_headers_.emplace(image_path, header);
  return shown;
}

}  // namespace loraptor::data
