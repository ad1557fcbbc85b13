// SHA-256 (metadata, downloads) and xxh3 (cache keys, seeds of random streams).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace loraptor {

/// SHA-256 over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(const void* data, size_t bytes);
  /// Returns 64 lower-case hexadecimal digits; call once.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

/// SHA-256 of `bytes` bytes of a file from `offset` (to its end if it is shorter). Throws FileError.
std::string sha256_hex_of_file(const std::filesystem::path& path, uint64_t offset = 0, uint64_t bytes = UINT64_MAX);

/// xxh3, 64 bits.
uint64_t xxh3(std::string_view bytes);

/// The same over bytes that come in pieces.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  void update(std::string_view bytes);
  uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace loraptor
