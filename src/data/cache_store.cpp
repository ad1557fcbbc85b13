// Caches in npz files beside the images.
#include "data/cache_store.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "data/cache_claim.h"
#include "data/cache_state.h"
#include "data/latents_cache.h"
#include "data/shard_store.h"
#include "io/npz.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

uint64_t key_of(const fs::path& cache, const std::string& array) { return xxh3(cache.string() + '\n' + array); }

class NpzStore : public CacheStore {
 public:
  std::shared_ptr<const io::ArrayFile> open(const fs::path& cache, const std::string&) override {
    if (!cache_exists(cache)) return nullptr;
    return std::make_shared<const io::NpzFile>(cache);
  }

  bool has(const fs::path& cache, const std::string&) override { return cache_exists(cache); }

  std::optional<CacheFacts> facts(const fs::path& cache, const std::string& part,
                                  const std::string& contents) override {
    const std::lock_guard lock(mutex_);
    const CacheFacts* recorded = index_of(cache).find(cache.filename().string(), part, contents);
    return recorded == nullptr ? std::nullopt : std::optional(*recorded);
  }

  std::shared_ptr<const io::ArrayFile> write(const fs::path& cache, const std::string& part,
                                             const io::NamedTensors& arrays, const CacheFacts&) override {
    const auto kept = open_to_keep(cache);
    io::write_npz(cache, arrays, kept ? &*kept : nullptr,
                  [&](const std::string& name) { return is_latents_array(name, part); });
    return std::make_shared<const io::NpzFile>(cache);
  }

  void record(const fs::path& cache, const std::string& part, const std::string& contents,
              const CacheFacts& facts) override {
    const std::lock_guard lock(mutex_);
    index_of(cache).add(cache.filename().string(), part, contents, facts);
  }

  void refresh(const fs::path&) override {}
  void clean(const fs::path& folder) override { remove_abandoned_caches(folder); }

  void flush() override {
    const std::lock_guard lock(mutex_);
    for (auto& [folder, index] : indexes_) index.flush();
  }
  void finish() override { flush(); }

 private:
  CacheIndex& index_of(const fs::path& cache) {
    const fs::path folder = cache_folder(cache);
    return indexes_.try_emplace(folder, folder).first->second;
  }

  std::mutex mutex_;
  std::map<fs::path, CacheIndex> indexes_;  // of the folders that the run meets, each read once
};

}  // namespace

void CacheStore::rely_on(const fs::path& cache, const io::ArrayFile& file, const std::vector<std::string>& arrays) {
  const std::lock_guard lock(relied_mutex_);
  for (const std::string& array : arrays) relied_on_[key_of(cache, array)] = file.checksum(array);
}

void CacheStore::expect_same(const fs::path& cache, const io::ArrayFile& file,
                             const std::vector<std::string>& arrays) const {
  const std::lock_guard lock(relied_mutex_);
  for (const std::string& array : arrays) {
    const auto relied = relied_on_.find(key_of(cache, array));
    if (relied == relied_on_.end() || relied->second == file.checksum(array)) continue;
    throw FileError(cache,
                    fmt::format("cache: got another '{}' than when this run began to use it, expected the same: "
                                "another program replaced the file.\n"
                                "Hint: runs at the same time that differ in models, sizes or captions need image "
                                "folders of their own, or caches in memory (without ..._to_disk).",
                                array));
  }
}

fs::path cache_folder(const fs::path& cache) { return cache.has_parent_path() ? cache.parent_path() : fs::path("."); }

std::shared_ptr<CacheStore> make_cache_store(CacheFormat format) {
  if (format == CacheFormat::shard) return make_shard_store();
  return std::make_shared<NpzStore>();
}

}  // namespace loraptor::data
