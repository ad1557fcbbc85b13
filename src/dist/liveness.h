// Notices processes that are gone: each leaves a sign of life twice a second and looks for those of the others.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "dist/key_store.h"

namespace loraptor::dist {

/// A thread of its own, so that a long computation is no silence. Time is counted in looks, not by the clock: a run
/// that was suspended as a whole and goes on finds nobody missing.
class Liveness {
 public:
  /// Begins to give signs. At first all processes count as alive.
  Liveness(KeyStore store, int64_t rank, int64_t size);
  /// Gives no more signs.
  ~Liveness();

  /// Processes that gave no sign for this long; the main one too where the table it serves is gone.
  std::vector<int64_t> silent(double seconds) const;

 private:
  void watch();
  void look(int64_t beat);

  KeyStore store_;
  int64_t rank_;
  std::vector<std::string> last_signs_;
  mutable std::mutex mutex_;
  std::condition_variable stop_;
  std::vector<int64_t> looks_without_sign_;  // by rank
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace loraptor::dist
