// Several processes filling one folder: who makes which cache file.
#pragma once

#include <filesystem>
#include <optional>
#include <set>

#include "base/file_lock.h"

namespace loraptor::data {

/// The right to make a cache file, held until destruction (also by the death of the process).
///   wait   false: nothing if another process has it
/// Throws FileError if the folder cannot be written.
std::optional<FileLock> claim_cache(const std::filesystem::path& cache, bool wait);

/// Removes what killed runs left in a folder: temporary files of caches that nobody is making now.
void remove_abandoned_caches(const std::filesystem::path& folder);

}  // namespace loraptor::data
