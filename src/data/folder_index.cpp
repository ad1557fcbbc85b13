// What the last scan found in an image folder.
#include "data/folder_index.h"

#include <cstring>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "loraptor scan 1\n";
constexpr size_t kChecksumBytes = 8;

fs::path index_path(const std::string& folder) { return fs::path(folder) / ".loraptor_scan"; }

void put(std::string& to, int64_t value) { to.append(reinterpret_cast<const char*>(&value), sizeof value); }

void put(std::string& to, const std::string& text) {
  put(to, static_cast<int64_t>(text.size()));
  to += text;
}

void put(std::string& to, const FileStamp& stamp) {
  put(to, stamp.modified_ns);
  put(to, stamp.bytes);
}

/// Takes values from a text; once something is missing, is_good is false and all that follows is empty.
struct Reader {
  std::string_view rest;
  bool is_good = true;

  std::string_view take(size_t bytes) {
    is_good = is_good && bytes <= rest.size();
    if (!is_good) return {};
    const std::string_view taken = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    return taken;
  }
  int64_t number() {
    int64_t value = 0;
    const std::string_view bytes = take(sizeof value);
    if (is_good) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(static_cast<size_t>(number()))); }
  FileStamp stamp() {
    const int64_t modified_ns = number();
    return {modified_ns, number()};
  }
};

}  // namespace

std::vector<IndexedImage> read_folder_index(const std::string& folder) {
  const fs::path path = index_path(folder);
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return {};
  const std::string file = read_file(path);
  std::string_view text = file;
  if (!text.starts_with(kMagic) || text.size() < kMagic.size() + kChecksumBytes) return {};
  uint64_t checksum;
  std::memcpy(&checksum, text.data() + text.size() - kChecksumBytes, kChecksumBytes);
  text.remove_suffix(kChecksumBytes);
  if (checksum != xxh3(text)) return {};
  Reader reader{text.substr(kMagic.size())};
  std::vector<IndexedImage> images;
  while (!reader.rest.empty() && reader.is_good) {
    IndexedImage& image = images.emplace_back();
    image.name = reader.text();
    image.image = reader.stamp();
    image.size.width = reader.number();
    image.size.height = reader.number();
    image.caption_name = reader.text();
    image.caption = reader.stamp();
    image.caption_text = reader.text();
  }
  if (!reader.is_good) images.clear();
  return images;
}

void write_folder_index(const std::string& folder, const std::vector<IndexedImage>& images) {
  std::string text(kMagic);
  for (const IndexedImage& image : images) {
    put(text, image.name);
    put(text, image.image);
    put(text, image.size.width);
    put(text, image.size.height);
    put(text, image.caption_name);
    put(text, image.caption);
    put(text, image.caption_text);
  }
  put(text, static_cast<int64_t>(xxh3(text)));
  try {
    write_file(index_path(folder), text);
  } catch (const FileError& error) {
    log::debug("the next scan will not be faster: {}", error.what());
  }
}

}  // namespace loraptor::data
