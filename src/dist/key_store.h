// A table of short texts that all processes of a run share: where they meet, and where they leave signs of life.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <optional>
#include <string>

#include "dist/world.h"

namespace c10d {
class Store;
}

namespace loraptor::dist {

/// A connection to the table. May be used by one thread at a time; `another` makes one for a second thread. No call
/// waits for another process.
class KeyStore {
 public:
  /// Meets the other processes: the main one serves the table (or torchrun does), the others connect to it.
  /// Throws RunError if they are not all there after five minutes.
  explicit KeyStore(const World& world);
  ~KeyStore();
  KeyStore(KeyStore&&) noexcept;

  KeyStore another() const;

  /// Throw RunError when the table cannot be reached any more.
  void set(const std::string& key, const std::string& value);
  std::optional<std::string> find(const std::string& key);

  /// LibTorch's object, for its own process groups.
  const c10::intrusive_ptr<c10d::Store>& store() const;

 private:
  struct Connection;
  explicit KeyStore(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace loraptor::dist
