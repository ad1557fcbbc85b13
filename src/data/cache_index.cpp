#include "data/cache_index.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

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

struct ImageStamp {
  std::string bytes, changed;
};

ImageStamp stamp_of(const fs::path& path) {
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
  const ImageStamp stamp = stamp_of(image);
  return {{"image_bytes", stamp.bytes}, {"image_changed", stamp.changed}, {"image_xxh3", content_hash(image)}};
}

bool is_same_image(const CacheFacts& recorded, const fs::path& image) {
  const auto bytes = recorded.find("image_bytes"), changed = recorded.find("image_changed"),
             hash = recorded.find("image_xxh3");
  if (bytes == recorded.end() || changed == recorded.end() || hash == recorded.end()) return true;
  const ImageStamp now = stamp_of(image);
  if (now.bytes != bytes->second) return false;
  return now.changed == changed->second || content_hash(image) == hash->second;
}

std::optional<std::string> first_difference(const CacheFacts& recorded, const CacheFacts& now) {
  // Values of the others are hashes, which say nothing to people.
  static const std::map<std::string, std::string> kHashed{
      {"caption", "the caption was changed"},          {"vae", "the VAE is another one"},
      {"clip_l", "the CLIP-L encoder is another one"}, {"clip_g", "the CLIP-G encoder is another one"},
      {"t5xxl", "the T5 encoder is another one"},      {"base_weights", "the merged base weights are other ones"}};
  static const std::map<std::string, std::string> kNames{{"resized", "the size before the crop"},
                                                         {"interpolation", "the interpolation"},
                                                         {"crop", "the crop"},
                                                         {"colours", "the colours"},
                                                         {"t5_length", "the number of T5 tokens"}};
  for (const auto& [fact, value] : now) {
    const auto before = recorded.find(fact);
    if (is_about_image(fact) || before == recorded.end() || before->second == value) continue;
    if (const auto words = kHashed.find(fact); words != kHashed.end()) return words->second;
    const auto name = kNames.find(fact);
    return fmt::format("{}: was {}, is now {}", name == kNames.end() ? fact : name->second, before->second, value);
  }
  return std::nullopt;
}

fs::path cache_lock_path(const fs::path& folder) { return folder / ".loraptor_cache.lock"; }

CacheIndex::CacheIndex(fs::path folder) : folder_(std::move(folder)) { records_ = read(); }

CacheIndex::Records CacheIndex::read() const {
  const fs::path path = folder_ / "loraptor_cache.json";
  Records records;
  if (fs::exists(path)) read_file_of_records(path, records);
  read_journal(records);
  return records;
}

void CacheIndex::read_file_of_records(const fs::path& path, Records& records) {
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
    records.clear();
  }
}

/// Lines of a killed process may be cut off; they are passed over.
void CacheIndex::read_journal(Records& records) const {
  if (!fs::exists(journal())) return;
  std::istringstream lines(read_file(journal()));
  for (std::string line; std::getline(lines, line);) {
    if (nests_deeper(line)) continue;
    const json entry = json::parse(line, nullptr, false);
    try {
      records[entry.at("file").get<std::string>()][entry.at("part").get<std::string>()] = {
          entry.at("contents").get<std::string>(), entry.at("facts").get<CacheFacts>()};
    } catch (const json::exception&) {
      continue;
    }
  }
}

const CacheFacts* CacheIndex::find(const std::string& file, const std::string& part,
                                   const std::string& contents) const {
  const auto parts = records_.find(file);
  if (parts == records_.end()) return nullptr;
  const auto record = parts->second.find(part);
  if (record == parts->second.end() || record->second.contents != contents) return nullptr;
  return &record->second.facts;
}

std::vector<CacheFacts> CacheIndex::facts_of(const std::string& file) const {
  std::vector<CacheFacts> facts;
  if (const auto parts = records_.find(file); parts != records_.end()) {
    for (const auto& [part, record] : parts->second) facts.push_back(record.facts);
  }
  return facts;
}

void CacheIndex::add(const std::string& file, const std::string& part, const std::string& contents, CacheFacts facts) {
  const json entry{{"file", file}, {"part", part}, {"contents", contents}, {"facts", facts}};
  append_line(entry.dump(-1, ' ', false, json::error_handler_t::replace));
  Record record{contents, std::move(facts)};
  records_[file][part] = record;
  added_[file][part] = std::move(record);
}

void CacheIndex::append_line(const std::string& line) const {
  // Not while another process merges the journal, which removes it.
  const FileLock lock = FileLock::take(cache_lock_path(folder_), 0);
  std::ofstream file(journal(), std::ios::app | std::ios::binary);
  // What a killed process left of a line ends here.
  file << "\n" + line + "\n" << std::flush;
  if (!file)
    throw FileError(journal(), "cannot be written.\nHint: check the permissions and the free space of the disk.");
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
  std::error_code ignored;
  fs::remove(journal(), ignored);
  added_.clear();
  records_ = std::move(all);
}

}  // namespace loraptor::data
