// Caches in shards: a few large files in `loraptor_shards` of each image folder (docs/formats.md).
#pragma once

#include <memory>

#include "data/cache_store.h"

namespace loraptor::data {

/// A store of shards. A process appends to a shard of its own, which it claims by a lock until it flushes; killed in
/// the middle of a record it leaves the others whole. What a record was made from lies in the record.
std::shared_ptr<CacheStore> make_shard_store();

/// The folder of the shards of an image folder.
std::filesystem::path shards_folder(const std::filesystem::path& image_folder);

}  // namespace loraptor::data
