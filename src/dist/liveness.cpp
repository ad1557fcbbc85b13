#include "dist/liveness.h"

#include <fmt/format.h>

#include <chrono>
#include <limits>

#include "base/error.h"

namespace loraptor::dist {
namespace {

constexpr std::chrono::milliseconds kPause{500};
constexpr int64_t kGone = std::numeric_limits<int64_t>::max();

std::string sign_key(int64_t rank) { return fmt::format("alive/{}", rank); }

}  // namespace

Liveness::Liveness(KeyStore store, int64_t rank, int64_t size)
    : store_(std::move(store)),
      rank_(rank),
      last_signs_(static_cast<size_t>(size)),
      looks_without_sign_(static_cast<size_t>(size), 0),
      thread_([this] { watch(); }) {}

Liveness::~Liveness() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void Liveness::watch() {
  for (int64_t beat = 0;; ++beat) {
    try {
      look(beat);
    } catch (const RunError&) {
      const std::lock_guard lock(mutex_);
      looks_without_sign_[0] = kGone;
      return;
    }
    std::unique_lock lock(mutex_);
    if (stop_.wait_for(lock, kPause, [this] { return stopping_; })) return;
  }
}

void Liveness::look(int64_t beat) {
  store_.set(sign_key(rank_), fmt::format("{}", beat));
  for (size_t other = 0; other < last_signs_.size(); ++other) {
    if (static_cast<int64_t>(other) == rank_) continue;
    const auto sign = store_.find(sign_key(static_cast<int64_t>(other)));
    const std::lock_guard lock(mutex_);
    const bool is_new = sign && *sign != last_signs_[other];
    if (is_new) last_signs_[other] = *sign;
    looks_without_sign_[other] = is_new ? 0 : looks_without_sign_[other] + 1;
  }
}

std::vector<int64_t> Liveness::silent(double seconds) const {
  const auto limit = static_cast<int64_t>(seconds / std::chrono::duration<double>(kPause).count());
  std::vector<int64_t> ranks;
  const std::lock_guard lock(mutex_);
  for (size_t rank = 0; rank < looks_without_sign_.size(); ++rank) {
    if (looks_without_sign_[rank] > limit) ranks.push_back(static_cast<int64_t>(rank));
  }
  return ranks;
}

}  // namespace loraptor::dist
