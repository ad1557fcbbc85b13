// Loads batches ahead in worker threads; hands them out in order.
#include "data/data_loader.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"

namespace loraptor::data {

DataLoader::DataLoader(const Dataset& dataset, std::vector<BatchPlan> plans, LoaderOptions options)
    : dataset_(dataset), plans_(std::move(plans)), options_(options) {
  const int64_t cpus = std::max(1u, std::thread::hardware_concurrency());
  const int64_t workers = std::clamp<int64_t>(options.workers, 0, std::min(cpus, static_cast<int64_t>(plans_.size())));
  capacity_ = static_cast<size_t>(workers * std::max<int64_t>(1, options.prefetch));
  threads_ = start_threads(workers, [this] { work(); });
}

DataLoader::~DataLoader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // joins them
}

Batch DataLoader::load(size_t index) const {
  const int64_t number = options_.first_batch + static_cast<int64_t>(index) * options_.batch_stride;
  const int64_t step = options_.first_step + number / std::max<int64_t>(1, options_.batches_per_step);
  return load_batch(dataset_, plans_[index], options_.epoch, step, options_.with_pixels);
}

void DataLoader::work() {
  while (true) {
    size_t index;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || claimed_ == plans_.size() || claimed_ < next_ + capacity_; });
      if (stopping_ || claimed_ == plans_.size()) return;
      index = claimed_++;
    }
    Loaded result;
    try {
      result.batch = load(index);
    } catch (...) {
      result.error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      loaded_.emplace(index, std::move(result));
    }
    changed_.notify_all();
  }
}

Batch DataLoader::next() {
  LORAPTOR_ASSERT(has_next());
  if (threads_.empty()) return load(next_++);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return loaded_.contains(next_); });
  Loaded result = std::move(loaded_.extract(next_).mapped());
  ++next_;
  lock.unlock();
  changed_.notify_all();
  if (result.error) std::rethrow_exception(result.error);
  return std::move(result.batch);
}

}  // namespace loraptor::data
