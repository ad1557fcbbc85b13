#include "data/cache_claim.h"

#include "base/hash.h"
#include "data/cache_index.h"

namespace loraptor::data {

namespace fs = std::filesystem;

std::optional<FileLock> claim_cache(const fs::path& cache, bool wait) {
  const uint64_t place = xxh3(cache.filename().string()) | 1;  // 0 is the index
  const fs::path lock = cache_lock_path(cache.has_parent_path() ? cache.parent_path() : fs::path("."));
  return wait ? std::optional(FileLock::take(lock, place)) : FileLock::try_take(lock, place);
}

void remove_abandoned_caches(const fs::path& folder) {
  std::error_code ignored;
  std::set<fs::path> temporary;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().filename().string().find(".npz.tmp-") != std::string::npos) temporary.insert(entry.path());
  }
  for (const fs::path& path : temporary) {
    const std::string name = path.string();
    if (const auto claim = claim_cache(name.substr(0, name.rfind(".tmp-")), false)) fs::remove(path, ignored);
  }
}

}  // namespace loraptor::data
