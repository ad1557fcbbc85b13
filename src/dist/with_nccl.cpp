// NCCL: the collectives of several GPUs.
#include "dist/backend.h"

#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace loraptor::dist {

c10::intrusive_ptr<c10d::Backend> make_nccl(const KeyStore& store, const World& world) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(24 * 7);  // who is lost is found out otherwise (dist/liveness.h)
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store.store(), static_cast<int>(world.rank),
                                                     static_cast<int>(world.size), options);
}

}  // namespace loraptor::dist
