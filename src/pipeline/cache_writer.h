// Writes cache files behind the encoder's back, so that it does not wait for the disk.
#pragma once

#include <deque>
#include <functional>
#include <future>
#include <string>

#include "base/clock.h"
#include "data/cache_check.h"

namespace loraptor::pipeline {

class CacheWriter {
 public:
  explicit CacheWriter(data::CacheStore& store) : store_(store) {}

  /// Runs `job` in a thread; waits if several are still running. Rethrows what an earlier one threw.
  void add(std::function<void()> job);

  /// Waits for all jobs and brings everything to the disk. Rethrows what one threw.
  void finish();

 private:
  void collect();

  data::CacheStore& store_;
  std::deque<std::future<void>> running_;
  Stopwatch watch_;
  double next_flush_ = 0;
};

/// How caches on disk stand before anything is made.
struct CacheCounts {
  int64_t usable = 0, unrecorded = 0, absent = 0, stale = 0;

  /// Counts a finding; names stale and unusable files in the log. Returns whether the file must be made.
  bool count(const data::CacheFinding& finding, const std::filesystem::path& path);
  /// One line for the log: "latents: …".
  void tell(const std::string& what) const;
};

}  // namespace loraptor::pipeline
