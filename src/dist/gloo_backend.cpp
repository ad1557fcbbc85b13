#include <cstdlib>

#include "dist/backend.h"

#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace loraptor::dist {
namespace {

using c10d::ProcessGroupGloo;

/// The network that the processes reach each other over: GLOO_SOCKET_IFNAME as in PyTorch, the loopback where all run
/// on one machine, else the one of this machine's name.
std::shared_ptr<gloo::transport::Device> choose_device(const World& world) {
  if (const char* name = std::getenv("GLOO_SOCKET_IFNAME"); name != nullptr && *name != '\0') {
    return ProcessGroupGloo::createDeviceForInterface(name);
  }
  const auto& master = world.master_address;
  if (master == "localhost" || master.starts_with("127."))
    return ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  return ProcessGroupGloo::createDefaultDevice();
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_gloo(const KeyStore& store, const World& world) {
  auto options = ProcessGroupGloo::Options::create(std::chrono::minutes(5));  // for connecting
  options->devices.push_back(choose_device(world));
  return c10::make_intrusive<ProcessGroupGloo>(store.store(), static_cast<int>(world.rank),
                                               static_cast<int>(world.size), options);
}

}  // namespace loraptor::dist
