// The bytes of one record of a shard (shard.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/shard.h"

namespace loraptor::io {

/// Records and their arrays begin at multiples of it.
inline constexpr uint64_t kShardAlignment = 64;

/// Where records are read from.
class ShardBytes {
 public:
  virtual ~ShardBytes() = default;
  virtual const std::filesystem::path& path() const = 0;
  virtual uint64_t size() const = 0;
  /// Returns false if the file ends before. Throws FileError.
  virtual bool read(void* to, uint64_t begin, uint64_t bytes) const = 0;
};

class StoredShardRecord : public ShardRecord {
 public:
  virtual ShardPlace place() const = 0;
  /// Reads the arrays and compares their checksums.
  virtual bool is_whole() const = 0;
};

/// Reads the header at that place; null if there is no whole header, or arrays would lie beyond the end of the file.
/// Throws FileError if the header's checksum is right but it makes no sense.
std::shared_ptr<const StoredShardRecord> read_shard_record(std::shared_ptr<const ShardBytes> file, uint64_t begin);

/// Where the next record begins.
uint64_t shard_record_end(const ShardPlace& place);

/// A record with its padding. Arrays are on the CPU and without gaps.
std::string shard_record_bytes(const std::string& name, const NamedTensors& arrays, const nlohmann::json& note,
                               uint64_t sequence);

}  // namespace loraptor::io
