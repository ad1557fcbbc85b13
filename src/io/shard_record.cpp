// The bytes of one record of a shard.
#include "io/shard_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/nesting.h"
#include "tensor/dtype.h"

namespace loraptor::io {
namespace {

using nlohmann::json;

constexpr std::string_view kRecordMagic = "shardrec";
constexpr uint64_t kMaxRecordHeaderBytes = uint64_t{16} << 20;

/// Begins a record. `header_checksum` covers what is before it and the header.
struct RecordPrefix {
  char magic[8];
  uint64_t header_bytes;
  uint64_t data_bytes;
  uint64_t sequence;
  uint64_t header_checksum;
};
static_assert(sizeof(RecordPrefix) == 40);

uint64_t aligned(uint64_t bytes) { return (bytes + kShardAlignment - 1) / kShardAlignment * kShardAlignment; }

uint64_t data_begin(uint64_t begin, uint64_t header_bytes) {
  return begin + aligned(sizeof(RecordPrefix) + header_bytes);
}

uint64_t header_checksum(const RecordPrefix& prefix, std::string_view header) {
  std::string text(reinterpret_cast<const char*>(&prefix), offsetof(RecordPrefix, header_checksum));
  return xxh3(text += header);
}

struct StoredArray {
  NpyInfo info;
  uint64_t begin;  // within the data
  uint64_t bytes;
  uint64_t checksum;
};

/// Bytes of an array of that shape; nullopt if it makes no sense.
std::optional<uint64_t> bytes_of(const NpyInfo& info, uint64_t limit) {
  uint64_t bytes = c10::elementSize(info.dtype);
  for (const int64_t side : info.shape) {
    if (side < 0 || (side > 0 && bytes > limit / static_cast<uint64_t>(side))) return std::nullopt;
    bytes *= static_cast<uint64_t>(side);
  }
  return bytes;
}

std::string_view view_of(const at::Tensor& numbers) {
  return {static_cast<const char*>(numbers.const_data_ptr()), numbers.nbytes()};
}

class Record : public StoredShardRecord {
 public:
  Record(std::shared_ptr<const ShardBytes> file, uint64_t begin, const RecordPrefix& prefix, const std::string& header)
      : file_(std::move(file)), begin_(begin), prefix_(prefix) {
    try {
      if (nests_deeper(header)) refuse("it nests too deeply");
      const json root = json::parse(header);
      name_ = root.at("name").get<std::string>();
      note_ = root.at("note");
      for (const auto& [name, array] : root.at("arrays").items()) add(name, array);
    } catch (const json::exception& error) {
      refuse(error.what());
    }
  }

  const std::filesystem::path& path() const override { return file_->path(); }
  const std::string& name() const override { return name_; }
  const json& note() const override { return note_; }
  ShardPlace place() const override {
    return {shard_key(name_), begin_, prefix_.header_bytes, prefix_.data_bytes, prefix_.sequence};
  }
  bool has(const std::string& name) const override { return arrays_.contains(name); }
  NpyInfo info(const std::string& name) const override { return array(name).info; }
  uint32_t checksum(const std::string& name) const override { return static_cast<uint32_t>(array(name).checksum); }

  bool is_whole() const override {
    return std::all_of(arrays_.begin(), arrays_.end(), [&](const auto& array) {
      return read_bytes(array.second, at::empty({static_cast<int64_t>(array.second.bytes)}, at::kByte));
    });
  }

  at::Tensor read(const std::string& name) const override {
    const StoredArray& stored = array(name);
    at::Tensor numbers = at::empty(stored.info.shape, stored.info.dtype);
    if (!read_bytes(stored, numbers)) {
      throw FileError(path(), begin_,
                      fmt::format("array '{}' of cache '{}': got a wrong checksum, expected the bytes "
                                  "that were written.\n"
                                  "Hint: delete the shard; its caches are made again.",
                                  name, name_));
    }
    return numbers;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw FileError(path(), begin_,
                    fmt::format("record of a shard cannot be understood: {}.\n"
                                "Hint: delete the shard; its caches are made again.",
                                why));
  }

  void add(const std::string& name, const json& array) {
    const auto dtype = tensor::dtype_from_safetensors(array.at("dtype").get<std::string>());
    if (!dtype) refuse("unknown dtype " + array.at("dtype").dump());
    StoredArray stored{{*dtype, array.at("shape").get<std::vector<int64_t>>(), false},
                       array.at("begin").get<uint64_t>(),
                       0,
                       array.at("xxh3").get<uint64_t>()};
    const auto bytes = bytes_of(stored.info, prefix_.data_bytes);
    if (!bytes || stored.begin > prefix_.data_bytes || *bytes > prefix_.data_bytes - stored.begin) {
      refuse(fmt::format("array '{}' does not lie within it", name));
    }
    stored.bytes = *bytes;
    arrays_.emplace(name, std::move(stored));
  }

  const StoredArray& array(const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) throw FileError(path(), fmt::format("cache '{}' has no array '{}'.", name_, name));
    return found->second;
  }

  /// False if the file ends before or the checksum is another.
  bool read_bytes(const StoredArray& stored, const at::Tensor& to) const {
    char* bytes = static_cast<char*>(to.mutable_data_ptr());
    return file_->read(bytes, data_begin(begin_, prefix_.header_bytes) + stored.begin, stored.bytes) &&
           xxh3({bytes, stored.bytes}) == stored.checksum;
  }

  std::shared_ptr<const ShardBytes> file_;
  uint64_t begin_;
  RecordPrefix prefix_;
  std::string name_;
  json note_;
  std::map<std::string, StoredArray> arrays_;
};

}  // namespace

uint64_t shard_record_end(const ShardPlace& place) {
  return data_begin(place.begin_bytes, place.header_bytes) + aligned(place.data_bytes);
}

std::shared_ptr<const StoredShardRecord> read_shard_record(std::shared_ptr<const ShardBytes> file, uint64_t begin) {
  RecordPrefix prefix;
  if (!file->read(&prefix, begin, sizeof prefix)) return nullptr;
  if (std::string_view(prefix.magic, sizeof prefix.magic) != kRecordMagic) return nullptr;
  const uint64_t size = file->size();
  if (prefix.header_bytes > kMaxRecordHeaderBytes || prefix.data_bytes > size) return nullptr;
  if (shard_record_end({0, begin, prefix.header_bytes, prefix.data_bytes, 0}) > size) return nullptr;
  std::string header(prefix.header_bytes, '\0');
  if (!file->read(header.data(), begin + sizeof prefix, header.size())) return nullptr;
  if (header_checksum(prefix, header) != prefix.header_checksum) return nullptr;
  return std::make_shared<Record>(std::move(file), begin, prefix, header);
}

std::string shard_record_bytes(const std::string& name, const NamedTensors& arrays, const json& note,
                               uint64_t sequence) {
  json root{{"name", name}, {"note", note}, {"arrays", json::object()}};
  uint64_t data_bytes = 0;
  for (const auto& [array, numbers] : arrays) {
    root["arrays"][array] = {{"dtype", tensor::safetensors_name(numbers.scalar_type())},
                             {"shape", numbers.sizes().vec()},
                             {"begin", data_bytes},
                             {"xxh3", xxh3(view_of(numbers))}};
    data_bytes += aligned(numbers.nbytes());
  }
  const std::string header = root.dump(-1, ' ', false, json::error_handler_t::replace);
  RecordPrefix prefix{{}, header.size(), data_bytes, sequence, 0};
  kRecordMagic.copy(prefix.magic, sizeof prefix.magic);
  prefix.header_checksum = header_checksum(prefix, header);
  std::string bytes(reinterpret_cast<const char*>(&prefix), sizeof prefix);
  bytes.reserve(data_begin(0, header.size()) + data_bytes);
  bytes += header;
  bytes.resize(data_begin(0, header.size()));
  for (const auto& [array, numbers] : arrays) bytes.append(view_of(numbers)).resize(aligned(bytes.size()));
  return bytes;
}

}  // namespace loraptor::io
