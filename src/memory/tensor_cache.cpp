#include "memory/tensor_cache.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace loraptor::memory {
namespace {

constexpr size_t kHeaderBytes = 64;        // in front of every block, so that data are aligned to cache lines
constexpr size_t kCachedFrom = 256 << 10;  // smaller blocks are left to malloc, which keeps them anyway
constexpr size_t kHugePage = 2 << 20;

struct Header {
  size_t block_bytes;  // with the header; 0: from malloc
};

// Eight sizes to a power of two: at most an eighth is wasted, and nearly equal tensors share blocks.
size_t size_class(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class Cache {
 public:
  void* take(size_t block_bytes) {
    const std::lock_guard lock(mutex_);
    stats_.live_bytes += static_cast<int64_t>(block_bytes);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
    const auto found = free_.find(block_bytes);
    if (found != free_.end()) {
      void* block = found->second.back();
      found->second.pop_back();
      if (found->second.empty()) free_.erase(found);
      stats_.cached_bytes -= static_cast<int64_t>(block_bytes);
      return block;
    }
    shrink(stats_.peak_bytes / 4 + stats_.peak_bytes - stats_.live_bytes);
    return map_block(block_bytes);
  }

  void give(void* block, size_t block_bytes) {
    const std::lock_guard lock(mutex_);
    free_[block_bytes].push_back(block);
    stats_.live_bytes -= static_cast<int64_t>(block_bytes);
    stats_.cached_bytes += static_cast<int64_t>(block_bytes);
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    shrink(0);
  }

  TensorCacheStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  // Unmaps blocks, the largest first, until no more than `limit` bytes are cached.
  void shrink(int64_t limit) {
    while (stats_.cached_bytes > limit) {
      auto largest = std::prev(free_.end());
      ::munmap(largest->second.back(), largest->first);
      stats_.cached_bytes -= static_cast<int64_t>(largest->first);
      largest->second.pop_back();
      if (largest->second.empty()) free_.erase(largest);
    }
  }

  void* map_block(size_t block_bytes) {
    void* block = ::mmap(nullptr, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
      shrink(0);
      block = ::mmap(nullptr, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (block == MAP_FAILED) {
      stats_.live_bytes -= static_cast<int64_t>(block_bytes);
      throw std::bad_alloc();
    }
    if (block_bytes >= 2 * kHugePage) ::madvise(block, block_bytes, MADV_HUGEPAGE);
    return block;
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // size -> blocks
  TensorCacheStats stats_;
};

// Never destroyed: tensors in static storage may outlive it.
Cache& cache() {
  static Cache& the_cache = *new Cache;
  return the_cache;
}

void release(void* data) {
  if (data == nullptr) return;
  void* block = static_cast<char*>(data) - kHeaderBytes;
  const size_t block_bytes = static_cast<Header*>(block)->block_bytes;
  if (block_bytes == 0) {
    std::free(block);
  } else {
    cache().give(block, block_bytes);
  }
}

class CachingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, at::kCPU};
    void* block = nullptr;
    size_t block_bytes = 0;
    if (bytes < kCachedFrom) {
      if (::posix_memalign(&block, kHeaderBytes, bytes + kHeaderBytes) != 0) throw std::bad_alloc();
    } else {
      block_bytes = size_class(bytes + kHeaderBytes);
      block = cache().take(block_bytes);
    }
    static_cast<Header*>(block)->block_bytes = block_bytes;
    void* data = static_cast<char*>(block) + kHeaderBytes;
    return {data, data, &release, at::kCPU};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

void keep_tensor_memory() {
  static CachingAllocator& allocator = *new CachingAllocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
}

TensorCacheStats tensor_cache_stats() { return cache().stats(); }

void drop_tensor_cache() { cache().clear(); }

}  // namespace loraptor::memory
