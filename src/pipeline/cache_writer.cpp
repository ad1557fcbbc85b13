#include "pipeline/cache_writer.h"

#include <algorithm>

#include "base/log.h"
#include "base/parallel.h"

namespace loraptor::pipeline {
namespace {

constexpr size_t kJobsAtOnce = 4;
constexpr int64_t kNamesShown = 20;

}  // namespace

void CacheWriter::add(std::function<void()> job) {
  while (running_.size() >= kJobsAtOnce) collect();
  running_.push_back(in_background(std::move(job)));
}

void CacheWriter::finish() {
  while (!running_.empty()) collect();
  store_.finish();
}

/// Records are written from time to time: the file of a large folder takes a while.
void CacheWriter::collect() {
  auto first = std::move(running_.front());
  running_.pop_front();
  first.get();
  const double now = watch_.seconds();
  if (now < next_flush_) return;
  store_.flush();
  const double after = watch_.seconds();
  next_flush_ = after + std::max(1.0, 20 * (after - now));
}

bool CacheCounts::count(const data::CacheFinding& finding, const std::filesystem::path& path) {
  switch (finding.state) {
    case data::CacheState::usable:
      ++usable;
      unrecorded += finding.is_recorded ? 0 : 1;
      return false;
    case data::CacheState::absent: ++absent; return true;
    case data::CacheState::stale:
    case data::CacheState::unusable: break;
  }
  if (++stale <= kNamesShown) log::warn("[{}] cache is made again: {}", path.string(), finding.why);
  if (stale == kNamesShown + 1) log::warn("further caches that are made again are not named");
  return true;
}

void CacheCounts::tell(const std::string& what) const {
  log::info("{}: {} cached on disk, {} to be made{}", what, usable, absent + stale,
            unrecorded == 0 ? ""
                            : fmt::format("; {} of the cached have no record of what they were made from and are "
                                          "trusted (written by another program)",
                                          unrecorded));
}

}  // namespace loraptor::pipeline
