#include "memory/swap_pool.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "base/error.h"

namespace loraptor::memory {
namespace {

constexpr size_t kPlaces = 2;  // the block that is computed and the one after it

}  // namespace

struct SwapPool::Place {
  std::vector<at::Tensor> tensors;
  int64_t last_use = 0;
  std::unique_ptr<c10::Event> ready;  // the copy is done; null once the computation waits for it
};

/// A stream beside the one that computes.
struct SwapPool::SideStream {
  explicit SideStream(at::Device device)
      : guard(device.type()), stream(guard.getStreamFromGlobalPool(device)), device(device) {}
  c10::Stream computing() const { return guard.getStream(device); }

  c10::impl::VirtualGuardImpl guard;
  c10::Stream stream;
  at::Device device;
};

SwapPool::SwapPool(at::Device device) : device_(device) {
  if (!device.is_cpu()) side_ = std::make_unique<SideStream>(device);
}
SwapPool::~SwapPool() = default;

size_t SwapPool::add(int64_t block, const at::Tensor& tensor) {
  auto& tensors = blocks_[block];
  const auto host = tensor.to(at::kCPU).contiguous();
  tensors.push_back(side_ ? host.pin_memory() : host);
  return tensors.size() - 1;
}

void SwapPool::make_room(int64_t newcomer) {
  while (places_.size() >= kPlaces) {
    const auto oldest = std::min_element(places_.begin(), places_.end(), [](const auto& a, const auto& b) {
      return a.second->last_use < b.second->last_use;
    });
    LORAPTOR_ASSERT(oldest->first != newcomer);
    places_.erase(oldest);
  }
}

SwapPool::Place& SwapPool::bring(int64_t block) {
  if (const auto found = places_.find(block); found != places_.end()) return *found->second;
  make_room(block);
  auto place = std::make_unique<Place>();
  place->last_use = clock_;
  ++copies_;
  if (!side_) {
    for (const auto& tensor : blocks_.at(block)) place->tensors.push_back(tensor.clone());
  } else {
    // What was computed with the memory that is used again now must be done first.
    c10::Event freed(device_.type());
    freed.record(side_->computing());
    freed.block(side_->stream);
    const auto computing = side_->guard.exchangeStream(side_->stream);
    for (const auto& tensor : blocks_.at(block)) place->tensors.push_back(tensor.to(device_, /*non_blocking=*/true));
    side_->guard.exchangeStream(computing);
    place->ready = std::make_unique<c10::Event>(device_.type());
    place->ready->record(side_->stream);
  }
  return *(places_[block] = std::move(place));
}

at::Tensor SwapPool::get(int64_t block, size_t number) {
  if (block != current_) begin(block);
  Place& place = bring(block);
  place.last_use = ++clock_;
  const auto& tensor = place.tensors.at(number);
  if (side_) {
    if (place.ready) place.ready->block(side_->computing());
    place.ready = nullptr;
    // Made on one stream, used on another: its memory is not given away before that is over.
    tensor.record_stream(side_->computing());
  }
  return tensor;
}

void SwapPool::begin(int64_t block) {
  // The last block of the forward pass is the first one of the backward pass.
  const int64_t direction = block > current_ ? 1 : -1;
  current_ = block;
  if (has(block)) bring(block).last_use = ++clock_;
  if (has(block + direction)) bring(block + direction).last_use = ++clock_;
}

std::vector<at::Tensor> SwapRunner::run(const BlockCall& call) {
  BlockCall told = call;
  told.forward = [pool = pool_, index = call.index, forward = call.forward](const std::vector<at::Tensor>& inputs) {
    pool->begin(index);
    return forward(inputs);
  };
  return inner_->run(told);
}

}  // namespace loraptor::memory
