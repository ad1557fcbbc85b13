// What a folder's caches were made from: the record `loraptor_cache.json` beside them, which tells stale caches.
//
// The cache files themselves are those of the reference and cannot say it. Format: docs/formats.md.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace loraptor::data {

/// What a cache was made from: fact -> value, such as caption -> hash.
using CacheFacts = std::map<std::string, std::string>;

/// Facts about an image file: its size, time of change and the hash of its bytes. Throws FileError.
CacheFacts image_facts(const std::filesystem::path& image);

/// Whether the file is still the recorded one: yes if size and time are the same, else if the bytes are.
/// True if `recorded` says nothing about it.
bool is_same_image(const CacheFacts& recorded, const std::filesystem::path& image);

/// The first fact that differs, for people ("the crop: was centre, is now drawn"); facts that one side lacks count as
/// equal.
std::optional<std::string> first_difference(const CacheFacts& recorded, const CacheFacts& now);

/// The records of one folder. Several processes may add to them at the same time.
class CacheIndex {
 public:
  /// Reads the folder's records. None there: none yet. An unreadable file is warned about and replaced later.
  explicit CacheIndex(std::filesystem::path folder);

  /// The facts of one part of a cache file (`48x80`, `text`), if they were recorded and still describe it.
  ///   contents   checksum of the part's arrays as they are now: another program may have replaced them
  const CacheFacts* find(const std::string& file, const std::string& part, const std::string& contents) const;

  /// The facts of all parts of a cache file that were recorded, whether or not they still describe it.
  std::vector<CacheFacts> facts_of(const std::string& file) const;

  /// Remembers a part that was just written: at once as a line of `.loraptor_cache.journal`, so that it is known also
  /// when the process is killed; in the file after flush(). Throws FileError.
  void add(const std::string& file, const std::string& part, const std::string& contents, CacheFacts facts);

  /// Merges what was added, and the journal, into the file, under a lock. Throws FileError.
  void flush();

 private:
  struct Record {
    std::string contents;
    CacheFacts facts;
  };
  using Records = std::map<std::string, std::map<std::string, Record>>;  // file -> part
  Records read() const;
  static void read_file_of_records(const std::filesystem::path& path, Records& records);
  void read_journal(Records& records) const;
  void append_line(const std::string& line) const;
  std::filesystem::path journal() const { return folder_ / ".loraptor_cache.journal"; }

  std::filesystem::path folder_;
  Records records_, added_;
};

/// The lock file of a folder's caches; place 0 is the index, the other places are cache files being made.
std::filesystem::path cache_lock_path(const std::filesystem::path& folder);

}  // namespace loraptor::data
