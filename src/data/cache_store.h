// Where the caches of a run lie: npz files beside the images, or shards of their folders.
//
// A cache has a path, that of its npz file, and parts ("48x80", "text"), which may exist without each other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/cache_index.h"
#include "io/array_file.h"
#include "io/safetensors.h"

namespace loraptor::data {

enum class CacheFormat { npz, shard };

/// For use by several threads at once; the arrays that `open` gives are not.
class CacheStore {
 public:
  virtual ~CacheStore() = default;

  /// The file that holds a part of a cache (and perhaps others); null if there is none. Throws FileError if it is
  /// damaged.
  virtual std::shared_ptr<const io::ArrayFile> open(const std::filesystem::path& cache, const std::string& part) = 0;

  /// Whether there is something, whatever its state.
  virtual bool has(const std::filesystem::path& cache, const std::string& part) = 0;

  /// What the part was made from, if that was recorded and still describes it.
  ///   contents   checksum of the part's arrays as they are now (contents_of)
  virtual std::optional<CacheFacts> facts(const std::filesystem::path& cache, const std::string& part,
                                          const std::string& contents) = 0;

  /// Writes a part, whole or not at all: what it held before is gone, the arrays of other parts are kept. Returns the
  /// file. Throws FileError.
  virtual std::shared_ptr<const io::ArrayFile> write(const std::filesystem::path& cache, const std::string& part,
                                                     const io::NamedTensors& arrays, const CacheFacts& facts) = 0;

  /// Records what a part that was written was made from.
  virtual void record(const std::filesystem::path& cache, const std::string& part, const std::string& contents,
                      const CacheFacts& facts) = 0;

  /// Takes notice of what other processes wrote into the folder since it was looked at.
  virtual void refresh(const std::filesystem::path& folder) = 0;

  /// Removes what killed runs left in a folder.
  virtual void clean(const std::filesystem::path& folder) = 0;

  /// Brings everything that was written and recorded to the disk. Throws FileError.
  virtual void flush() = 0;

  /// The same after the last write of this process for now.
  virtual void finish() = 0;

  /// Remembers that this run uses these arrays of a cache as they are now.
  void rely_on(const std::filesystem::path& cache, const io::ArrayFile& file, const std::vector<std::string>& arrays);

  /// Throws FileError if one of these arrays was another one when it was relied on: another program replaced it.
  void expect_same(const std::filesystem::path& cache, const io::ArrayFile& file,
                   const std::vector<std::string>& arrays) const;

 private:
  mutable std::mutex relied_mutex_;
  std::unordered_map<uint64_t, uint64_t> relied_on_;  // hash of cache and array -> checksum
};

/// A store for one run.
std::shared_ptr<CacheStore> make_cache_store(CacheFormat format);

/// The folder of a cache file; "." for a bare name.
std::filesystem::path cache_folder(const std::filesystem::path& cache);

}  // namespace loraptor::data
