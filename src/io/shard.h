// A shard: records of named arrays, one after the other in one file. It grows at its end only.
//
// For caches of very many images, where a file each would be too many. Beside it lies `<shard>.index`, the places of
// the records, which can be made again from the shard. Format: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/array_file.h"
#include "io/safetensors.h"

namespace loraptor::io {

/// Where a record lies.
struct ShardPlace {
  uint64_t key = 0;           // shard_key of its name
  uint64_t begin_bytes = 0;   // from the start of the file
  uint64_t header_bytes = 0;  // of the JSON header
  uint64_t data_bytes = 0;    // of the arrays
  uint64_t sequence = 0;      // of two records of one name the one with the higher number counts
};

/// What stands for a record's name in places.
uint64_t shard_key(std::string_view name);

/// A record's arrays. Each is read, and its checksum compared, when it is asked for.
class ShardRecord : public ArrayFile {
 public:
  virtual const std::string& name() const = 0;
  /// What was written with the arrays.
  virtual const nlohmann::json& note() const = 0;
};

/// An opened shard. Not for use by several threads at once; records may outlive it.
class ShardFile {
 public:
  /// Opens a shard for reading. An empty file, of a process killed early, has no records.
  /// Throws FileError for a file that is no shard.
  static std::unique_ptr<ShardFile> open(const std::filesystem::path& path);

  /// Opens a shard to append to it, or makes it; a record that a killed process left unfinished is cut off.
  /// Only one process at a time may do so: the caller holds a lock. Throws FileError.
  static std::unique_ptr<ShardFile> open_to_append(const std::filesystem::path& path);

  ~ShardFile();
  ShardFile(const ShardFile&) = delete;
  ShardFile& operator=(const ShardFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  uint64_t size_bytes() const { return end_; }  // of what is whole

  /// Places of the records that were found since the last call; at first all. Records after those of the index are read
  /// and compared with their checksum: the first one that is not whole ends the shard for now.
  std::vector<ShardPlace> news();

  /// Reads a record's header. Throws FileError if it is damaged.
  std::shared_ptr<const ShardRecord> record(const ShardPlace& place) const;

  /// Appends a record and returns its place, which news() leaves out. float32 arrays that bfloat16 can hold without
  /// loss are stored so. Other processes find it at once; it survives a power cut after flush(). Throws FileError; then
  /// the shard is as before.
  ShardPlace append(const std::string& name, const NamedTensors& arrays, const nlohmann::json& note);

  /// Forces all records to the disk and writes the index. Throws FileError.
  void flush();

 private:
  class Descriptor;
  ShardFile(std::filesystem::path path, std::shared_ptr<Descriptor> file);
  void read_head();
  void read_index();
  bool find_record(ShardPlace& place) const;
  void add(const ShardPlace& place);

  std::filesystem::path path_;
  std::shared_ptr<Descriptor> file_;
  uint64_t id_ = 0;   // drawn when the shard is made; an index of another shard is passed over
  uint64_t end_ = 0;  // of the last whole record
  uint64_t last_sequence_ = 0;
  bool is_indexed_ = false;
  std::vector<ShardPlace> places_, news_;
};

}  // namespace loraptor::io
