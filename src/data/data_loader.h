// Loads batches ahead in worker threads; hands them out in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "data/batch.h"
#include "data/dataset.h"

namespace loraptor::data {

struct LoaderOptions {
  int64_t epoch = 1;         // from 1
  int64_t first_step = 0;    // optimizer step at the start of the epoch
  int64_t first_batch = 0;   // number, within the epoch, of the first plan (more than 0 after a resume)
  int64_t batch_stride = 1;  // from one plan's number to the next one's: the number of processes that share an epoch
  int64_t batches_per_step = 1;  // gradient accumulation
  bool with_pixels = true;       // false when latents are cached
  int64_t workers = 8;           // capped at the number of CPUs; 0: load in the calling thread
  int64_t prefetch = 2;          // batches loaded ahead by each worker
};

/// Loads the batches of an epoch. At most workers * prefetch batches are in memory. Neither order nor content depends
/// on the number of workers. `dataset` must outlive the loader. Destroying it early is fine.
class DataLoader {
 public:
  DataLoader(const Dataset& dataset, std::vector<BatchPlan> plans, LoaderOptions options);
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  bool has_next() const { return next_ < plans_.size(); }

  /// The next batch; waits until it is loaded. Rethrows what its loading threw. Needs has_next().
  Batch next();

 private:
  struct Loaded {
    Batch batch;
    std::exception_ptr error;
  };
  Batch load(size_t index) const;
  void work();

  const Dataset& dataset_;
  std::vector<BatchPlan> plans_;
  LoaderOptions options_;
  size_t next_ = 0;  // batch that is handed out next

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<size_t, Loaded> loaded_;
  size_t claimed_ = 0;   // batches taken by workers so far
  size_t capacity_ = 0;  // batches that may be claimed beyond next_
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace loraptor::data
