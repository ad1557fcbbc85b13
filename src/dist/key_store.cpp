#include "dist/key_store.h"

#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::dist {
namespace {

constexpr std::chrono::minutes kMeetingTime{5};

/// Runs an operation of the table; LibTorch's errors become ours.
template <class Operation>
auto reach(const Operation& operation) {
  try {
    return operation();
  } catch (const c10::Error& error) {
    throw RunError(
        fmt::format("[processes] the table in which they meet cannot be reached: {}.", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw RunError(fmt::format("[processes] the table in which they meet cannot be reached: {}.", error.what()));
  }
}

c10::intrusive_ptr<c10d::Store> connect(const World& world) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(world.master_port);
  options.isServer = world.rank == 0 && !world.store_is_served;
  if (!world.store_is_served) options.numWorkers = static_cast<size_t>(world.size);
  options.waitWorkers = !world.store_is_served;
  options.timeout = kMeetingTime;
  log::info("waiting for {} processes at {}:{}", world.size, world.master_address, world.master_port);
  try {
    return c10::make_intrusive<c10d::TCPStore>(world.master_address, options);
  } catch (const c10::Error& error) {
    throw RunError(fmt::format(
        "[processes] meeting at {}:{}: got an error ({}), expected {} processes within {} "
        "minutes.\nHint: MASTER_ADDR and MASTER_PORT must name the machine of process 0 and a "
        "free port that the others can reach; every process must be running.",
        world.master_address, world.master_port, error.what_without_backtrace(), world.size, kMeetingTime.count()));
  }
}

}  // namespace

struct KeyStore::Connection {
  c10::intrusive_ptr<c10d::Store> plain, prefixed;
  std::string prefix;

  static std::unique_ptr<Connection> make(c10::intrusive_ptr<c10d::Store> plain, const std::string& prefix) {
    const auto prefixed = c10::make_intrusive<c10d::PrefixStore>(prefix, plain);
    return std::make_unique<Connection>(Connection{std::move(plain), prefixed, prefix});
  }
};

KeyStore::KeyStore(const World& world) : connection_(Connection::make(connect(world), world.store_prefix)) {}
KeyStore::KeyStore(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
KeyStore::~KeyStore() = default;
KeyStore::KeyStore(KeyStore&&) noexcept = default;

KeyStore KeyStore::another() const {
  return KeyStore(Connection::make(reach([&] { return connection_->plain->clone(); }), connection_->prefix));
}

void KeyStore::set(const std::string& key, const std::string& value) {
  reach([&] { connection_->prefixed->set(key, std::vector<uint8_t>(value.begin(), value.end())); });
}

std::optional<std::string> KeyStore::find(const std::string& key) {
  return reach([&]() -> std::optional<std::string> {
    if (!connection_->prefixed->check({key})) return std::nullopt;
    const auto value = connection_->prefixed->get(key);
    return std::string(value.begin(), value.end());
  });
}

const c10::intrusive_ptr<c10d::Store>& KeyStore::store() const { return connection_->prefixed; }

}  // namespace loraptor::dist
