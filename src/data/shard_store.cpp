// Caches in shards.
#include "data/shard_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file_lock.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/python_text.h"
#include "io/shard.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFullBytes = uint64_t{2} << 30;  // of a shard to which nothing is appended any more

/// The shards of one folder, and where each cache lies in them.
class FolderShards {
 public:
  explicit FolderShards(const fs::path& images) : images_(images), folder_(shards_folder(images)) { refresh(); }

  /// Null: none of that name.
  std::shared_ptr<const io::ShardRecord> find(const std::string& name) const {
    const auto found = places_.find(io::shard_key(name));
    if (found == places_.end()) return nullptr;
    auto record = found->second.shard->record(found->second.place);
    return record->name() == name ? record : nullptr;
  }

  bool has(const std::string& name) const { return places_.contains(io::shard_key(name)); }

  void append(const std::string& name, const io::NamedTensors& arrays, const CacheFacts& facts) {
    if (own_ == nullptr || own_->size_bytes() >= kFullBytes) take_shard();
    note(*own_, own_->append(name, arrays, nlohmann::json(facts)));
  }

  void refresh() {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder_, none)) {
      const std::string name = entry.path().filename().string();
      if (entry.path().extension() != ".shard" || shards_.contains(name)) continue;
      try {
        shards_.emplace(name, io::ShardFile::open(entry.path()));
      } catch (const FileError& error) {
        if (bad_.insert(name).second) log::warn("{}", error.what());
      }
    }
    for (const auto& [name, shard] : shards_) note_news(*shard);
  }

  void flush() {
    if (own_ != nullptr) own_->flush();
  }

  /// Gives the own shard back, for others to append to.
  void give_back() {
    flush();
    own_ = nullptr;
    lock_.reset();
  }

  /// Removes shards of which every record was replaced, unless another process has them.
  void clean() {
    for (auto shard = shards_.begin(); shard != shards_.end();) {
      const io::ShardFile* file = shard->second.get();
      const auto lock = file == own_ || is_used(file) ? std::nullopt : try_lock(shard->first);
      if (lock) note_news(*shard->second);  // of a process that has just given it back
      if (!lock || is_used(file)) {
        ++shard;
        continue;
      }
      std::error_code none;
      fs::remove(file->path().string() + ".index", none);
      fs::remove(file->path(), none);
      shard = shards_.erase(shard);
    }
  }

 private:
  struct Found {
    const io::ShardFile* shard;
    io::ShardPlace place;
  };

  std::optional<FileLock> try_lock(const std::string& shard) const {
    return FileLock::try_take(cache_lock_path(images_), xxh3("shard " + shard) | 1);
  }

  void note(const io::ShardFile& shard, const io::ShardPlace& place) {
    const auto [known, is_new] = places_.try_emplace(place.key, Found{&shard, place});
    if (!is_new && known->second.place.sequence <= place.sequence) known->second = {&shard, place};
  }

  void note_news(io::ShardFile& shard) {
    for (const io::ShardPlace& place : shard.news()) note(shard, place);
  }

  bool is_used(const io::ShardFile* shard) const {
    return std::any_of(places_.begin(), places_.end(), [&](const auto& place) { return place.second.shard == shard; });
  }

  /// Claims a shard that is not full, or a new one.
  void take_shard() {
    give_back();
    std::error_code code;
    fs::create_directories(folder_, code);
    if (code) throw FileError(folder_, fmt::format("cannot be made: {}.", code.message()));
    for (int number = 1;; ++number) {
      const std::string name = fmt::format("{:04}.shard", number);
      std::error_code none;
      const auto size = fs::file_size(folder_ / name, none);
      if (bad_.contains(name) || (!none && size >= kFullBytes)) continue;
      auto lock = try_lock(name);
      if (!lock) continue;
      auto shard = io::ShardFile::open_to_append(folder_ / name);
      note_news(*shard);
      own_ = shard.get();
      lock_ = std::move(lock);
      // Places of the shard as it was opened for reading stay good; both see the same file.
      std::swap(shards_[name], shard);
      if (shard != nullptr) earlier_.push_back(std::move(shard));
      return;
    }
  }

  fs::path images_, folder_;
  std::map<std::string, std::unique_ptr<io::ShardFile>> shards_;  // by file name
  std::vector<std::unique_ptr<io::ShardFile>> earlier_;           // those that were opened again
  std::set<std::string> bad_;                                     // files that are no shards
  std::unordered_map<uint64_t, Found> places_;                    // by key
  io::ShardFile* own_ = nullptr;                                  // the one that this process appends to
  std::optional<FileLock> lock_;
};

class ShardStore : public CacheStore {
 public:
  std::shared_ptr<const io::ArrayFile> open(const fs::path& cache, const std::string& part) override {
    const std::lock_guard lock(mutex_);
    return shards_of(cache_folder(cache)).find(name_of(cache, part));
  }

  bool has(const fs::path& cache, const std::string& part) override {
    const std::lock_guard lock(mutex_);
    return shards_of(cache_folder(cache)).has(name_of(cache, part));
  }

  std::optional<CacheFacts> facts(const fs::path& cache, const std::string& part, const std::string&) override {
    const std::lock_guard lock(mutex_);
    const auto record = shards_of(cache_folder(cache)).find(name_of(cache, part));
    if (record == nullptr) return std::nullopt;
    try {
      return record->note().get<CacheFacts>();
    } catch (const nlohmann::json::exception&) {
      return std::nullopt;
    }
  }

  std::shared_ptr<const io::ArrayFile> write(const fs::path& cache, const std::string& part,
                                             const io::NamedTensors& arrays, const CacheFacts& facts) override {
    if (!is_utf8(cache.filename().string())) {
      throw FileError(cache,
                      "file name: got bytes that are no UTF-8, expected UTF-8 for --cache_format shard.\n"
                      "Hint: rename the image, or use --cache_format npz.");
    }
    const std::lock_guard lock(mutex_);
    FolderShards& shards = shards_of(cache_folder(cache));
    shards.append(name_of(cache, part), arrays, facts);
    return shards.find(name_of(cache, part));
  }

  void record(const fs::path&, const std::string&, const std::string&, const CacheFacts&) override {}

  void refresh(const fs::path& folder) override {
    const std::lock_guard lock(mutex_);
    shards_of(folder).refresh();
  }
  void clean(const fs::path& folder) override {
    const std::lock_guard lock(mutex_);
    shards_of(folder).clean();
  }
  void flush() override {
    const std::lock_guard lock(mutex_);
    for (auto& [folder, shards] : folders_) shards.flush();
  }
  void finish() override {
    const std::lock_guard lock(mutex_);
    for (auto& [folder, shards] : folders_) shards.give_back();
  }

 private:
  static std::string name_of(const fs::path& cache, const std::string& part) {
    return cache.filename().string() + "#" + part;
  }
  FolderShards& shards_of(const fs::path& folder) { return folders_.try_emplace(folder, folder).first->second; }

  std::mutex mutex_;
  std::map<fs::path, FolderShards> folders_;
};

}  // namespace

std::shared_ptr<CacheStore> make_shard_store() { return std::make_shared<ShardStore>(); }

fs::path shards_folder(const fs::path& image_folder) { return image_folder / "loraptor_shards"; }

}  // namespace loraptor::data
