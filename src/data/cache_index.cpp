#include "data/cache_index.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file_lock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/nesting.h"
#include "io/mmap_file.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;

struct FileStamp {
  std::string bytes, changed;
};

FileStamp stamp_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw FileError(path, "cannot be read.");
  return {fmt::format("{}", status.st_size), fmt::format("{}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec)};
}

std::string content_hash(const fs::path& path) {
  const auto bytes = io::FileBytes::open(path, true);
  return fmt::format("{:016x}", xxh3({reinterpret_cast<const char*>(bytes->data()), bytes->size()}));
}

bool is_about_image(const std::string& fact) { return fact.starts_with("image_"); }

}  // namespace

CacheFacts image_facts(const fs::path& image) {
  const FileStamp stamp = stamp_of(image);
  return {{"image_bytes", stamp.bytes}, {"image_changed", stamp.changed}, {"image_xxh3", content_hash(image)}};
}

bool is_same_image(const CacheFacts& recorded, const fs::path& image) {
  const auto bytes = recorded.find("image_bytes"), changed = recorded.find("image_changed"),
             hash = recorded.find("image_xxh3");
  if (bytes == recorded.end() || changed == recorded.end() || hash == recorded.end()) return true;
  const FileStamp now = stamp_of(image);
  if (now.bytes != bytes->second) return false;
  return now.changed == changed->second || content_hash(image) == hash->second;
}

std::optional<std::string> first_difference(const CacheFacts& recorded, const CacheFacts& now) {
  for (const auto& [fact, value] : now) {
    const auto before = recorded.find(fact);
    if (is_about_image(fact) || before == recorded.end() || before->second == value) continue;
    return fmt::format("{}: was {}, is now {}", fact, before->second, value);
  }
  return std::nullopt;
}

fs::path cache_lock_path(const fs::path& folder) { return folder / ".loraptor_cache.lock"; }

CacheIndex::CacheIndex(fs::path folder) : folder_(std::move(folder)) { records_ = read(); }

CacheIndex::Records CacheIndex::read() const {
  const fs::path path = folder_ / "loraptor_cache.json";
  Records records;
  if (!fs::exists(path)) return records;
  try {
    const std::string text = read_file(path);
    if (nests_deeper(text)) throw FileError(path, "is no record of caches: it nests too deeply.");
    const json root = json::parse(text);
    if (root.at("format").get<int>() != kFormat) throw FileError(path, "is of another version.");
    for (const auto& [file, parts] : root.at("caches").items()) {
      for (const auto& [part, record] : parts.items()) {
        records[file][part] = {record.at("contents").get<std::string>(), record.at("facts").get<CacheFacts>()};
      }
    }
  } catch (const json::exception& error) {
    log::warn("[{}] the record of what the caches were made from cannot be read ({}); it is started anew.",
              path.string(), error.what());
    return {};
  }
  return records;
}

const CacheFacts* CacheIndex::find(const std::string& file, const std::string& part,
                                   const std::string& contents) const {
  const auto parts = records_.find(file);
  if (parts == records_.end()) return nullptr;
  const auto record = parts->second.find(part);
  if (record == parts->second.end() || record->second.contents != contents) return nullptr;
  return &record->second.facts;
}

void CacheIndex::add(const std::string& file, const std::string& part, const std::string& contents, CacheFacts facts) {
  Record record{contents, std::move(facts)};
  records_[file][part] = record;
  added_[file][part] = std::move(record);
}

void CacheIndex::flush() {
  if (added_.empty()) return;
  const FileLock lock = FileLock::take(cache_lock_path(folder_), 0);
  Records all = read();
  for (auto& [file, parts] : added_) {
    for (auto& [part, record] : parts) all[file][part] = std::move(record);
  }
  json caches = json::object();
  for (const auto& [file, parts] : all) {
    for (const auto& [part, record] : parts) {
      caches[file][part] = {{"contents", record.contents}, {"facts", record.facts}};
    }
  }
  const json root{{"format", kFormat}, {"caches", caches}};
  write_file(folder_ / "loraptor_cache.json", root.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  added_.clear();
  records_ = std::move(all);
}

}  // namespace loraptor::data
