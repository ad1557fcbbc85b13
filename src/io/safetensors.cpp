#include "io/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/nesting.h"
#include "base/suggest.h"
#include "io/mmap_file.h"
#include "tensor/dtype.h"

namespace loraptor::io {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// Length of the JSON text, after checking it against the file.
uint64_t header_length(const fs::path& path, const FileBytes& bytes) {
  if (bytes.size() < kLengthBytes) {
    throw FileError(path, fmt::format("safetensors file: got {} bytes, expected at least 8.", bytes.size()));
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{bytes.data()[i]} << (8 * i);
  if (length > kMaxHeaderBytes) {
    throw FileError(path, 0,
                    fmt::format("header length: got {}, expected at most {}. This is not a safetensors file.", length,
                                kMaxHeaderBytes));
  }
  if (length > bytes.size() - kLengthBytes) {
    throw FileError(path, 0,
                    fmt::format("header length: got {}, expected at most the {} bytes that follow. "
                                "The file is truncated or not a safetensors file.",
                                length, bytes.size() - kLengthBytes));
  }
  return length;
}

/// Parses the JSON header, refusing what a lenient parser would let pass: the same key twice.
json parse_header(const fs::path& path, std::string_view text) {
  if (nests_deeper(text)) throw FileError(path, kLengthBytes, "header: got too many levels of JSON, expected three.");
  std::vector<std::set<std::string>> keys;  // of the objects that are open now
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw FileError(path, fmt::format("header: key '{}' occurs twice, expected once.", parsed.get<std::string>()));
    }
    return true;
  };
  json header;
  try {
    header = json::parse(text, watch);
  } catch (const json::exception& error) {  // also for numbers that are too large
    throw FileError(path, kLengthBytes, fmt::format("header is not valid JSON: {}.", error.what()));
  }
  if (!header.is_object()) {
    throw FileError(path, kLengthBytes, fmt::format("header: got a JSON {}, expected an object.", header.type_name()));
  }
  return header;
}

Metadata read_metadata(const fs::path& path, const json& value) {
  if (!value.is_object()) {
    throw FileError(path, fmt::format("__metadata__: got a JSON {}, expected an object.", value.type_name()));
  }
  Metadata metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      throw FileError(path, fmt::format("__metadata__ '{}': got a JSON {}, expected a string.", key, text.type_name()));
    }
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

/// Reads the header's entries, each checked by itself; `file_bytes` and `data_begin` place them in the file.
class EntryReader {
 public:
  EntryReader(const fs::path& path, uint64_t data_begin, uint64_t file_bytes)
      : path_(path), data_begin_(data_begin), data_bytes_(file_bytes - data_begin) {}

  TensorInfo read(const std::string& name, const json& entry) const {
    if (!entry.is_object()) fail(name, fmt::format("got a JSON {}, expected an object.", entry.type_name()));
    TensorInfo info{};
    const json& dtype = member(name, entry, "dtype");
    const auto known =
        dtype.is_string() ? tensor::dtype_from_safetensors(dtype.get_ref<const std::string&>()) : std::nullopt;
    if (!known) {
      fail(name, fmt::format("dtype: got {}, expected one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, I16, I8, "
                             "U8, BOOL.",
                             dtype.dump()));
    }
    info.dtype = *known;
    info.shape = read_shape(name, member(name, entry, "shape"));
    const auto [begin, end] = read_offsets(name, member(name, entry, "data_offsets"));
    const uint64_t expected = size_bytes(name, info);
    if (end - begin != expected) {
      fail(name, fmt::format("data_offsets [{}, {}]: got {} bytes, expected {} for dtype {} and shape [{}].", begin,
                             end, end - begin, expected, dtype.get<std::string>(), fmt::join(info.shape, ",")));
    }
    info.begin_bytes = data_begin_ + begin;
    info.size_bytes = expected;
    return info;
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw FileError(path_, fmt::format("tensor '{}': {}", name, what));
  }

  const json& member(const std::string& name, const json& entry, const char* key) const {
    const auto found = entry.find(key);
    if (found == entry.end()) fail(name, fmt::format("member '{}' is missing.", key));
    return *found;
  }

  std::vector<int64_t> read_shape(const std::string& name, const json& value) const {
    if (!value.is_array()) fail(name, fmt::format("shape: got {}, expected a list of sizes.", value.dump()));
    std::vector<int64_t> shape;
    for (const json& size : value) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
        fail(name, fmt::format("shape: got {}, expected sizes from 0 to 2^63-1.", value.dump()));
      }
      shape.push_back(size.get<int64_t>());
    }
    return shape;
  }

  std::pair<uint64_t, uint64_t> read_offsets(const std::string& name, const json& value) const {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() || !value[1].is_number_unsigned()) {
      fail(name, fmt::format("data_offsets: got {}, expected [begin, end].", value.dump()));
    }
    const auto begin = value[0].get<uint64_t>();
    const auto end = value[1].get<uint64_t>();
    if (begin > end) fail(name, fmt::format("data_offsets: got [{}, {}], expected begin <= end.", begin, end));
    if (end > data_bytes_) {
      fail(name, fmt::format("data_offsets: got [{}, {}], expected an end within the {} bytes of data. "
                             "The file is truncated or its header is wrong.",
                             begin, end, data_bytes_));
    }
    return {begin, end};
  }

  /// Zero sizes count as one in the overflow check, since strides are computed that way.
  uint64_t size_bytes(const std::string& name, const TensorInfo& info) const {
    int64_t product = static_cast<int64_t>(c10::elementSize(info.dtype));
    bool empty = false;
    for (const int64_t size : info.shape) {
      empty |= size == 0;
      if (__builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product)) {
        fail(name, fmt::format("shape: got [{}], expected fewer than 2^63 bytes.", fmt::join(info.shape, ",")));
      }
    }
    return empty ? 0 : static_cast<uint64_t>(product);
  }

  const fs::path& path_;
  uint64_t data_begin_;
  uint64_t data_bytes_;
};

class OpenedFile : public SafetensorsFile {
 public:
  OpenedFile(const fs::path& path, bool memory_map) : path_(path), bytes_(FileBytes::open(path, memory_map)) {
    const uint64_t length = header_length(path_, *bytes_);
    const uint64_t data_begin = kLengthBytes + length;
    const char* text = reinterpret_cast<const char*>(bytes_->data()) + kLengthBytes;
    const json header = parse_header(path_, std::string_view(text, length));
    const EntryReader reader(path_, data_begin, bytes_->size());
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        metadata_ = read_metadata(path_, entry);
        continue;
      }
      tensors_.emplace(name, reader.read(name, entry));
      names_.push_back(name);
    }
    sort_and_check_tiling(data_begin);
  }

  const fs::path& path() const override { return path_; }
  const std::vector<std::string>& names() const override { return names_; }
  bool has(const std::string& name) const override { return tensors_.count(name) != 0; }
  const Metadata& metadata() const override { return metadata_; }

  const TensorInfo& info(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found != tensors_.end()) return found->second;
    const std::string hint = did_you_mean(name, names_);
    throw FileError(path_, fmt::format("tensor '{}' is missing among {} tensors.{}", name, names_.size(),
                                       hint.empty() ? "" : "\nHint: " + hint));
  }

  at::Tensor tensor(const std::string& name) const override {
    const TensorInfo& found = info(name);
    const uint8_t* data = bytes_->data() + found.begin_bytes;
    const auto options = at::TensorOptions().dtype(found.dtype);
    if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(found.dtype) != 0) {
      at::Tensor copy = at::empty(found.shape, options);
      std::memcpy(copy.data_ptr(), data, found.size_bytes);
      return copy;
    }
    const auto keep_alive = [bytes = bytes_](void*) {};
    return at::from_blob(const_cast<uint8_t*>(data), found.shape, keep_alive, options);
  }

 private:
  /// The format demands that the tensors cover the data section without holes, overlaps or leftovers.
  void sort_and_check_tiling(uint64_t data_begin) {
    std::sort(names_.begin(), names_.end(), [this](const std::string& a, const std::string& b) {
      const TensorInfo& x = tensors_.at(a);
      const TensorInfo& y = tensors_.at(b);
      return std::tie(x.begin_bytes, x.size_bytes, a) < std::tie(y.begin_bytes, y.size_bytes, b);
    });
    uint64_t position = data_begin;
    for (const auto& name : names_) {
      const TensorInfo& next = tensors_.at(name);
      if (next.begin_bytes != position) {
        const uint64_t begin = next.begin_bytes - data_begin;
        throw FileError(path_, fmt::format("tensor '{}': data_offsets [{}, {}] {}: got a begin of {}, expected {}.",
                                           name, begin, begin + next.size_bytes,
                                           next.begin_bytes < position ? "overlap the tensor before" : "leave a gap",
                                           begin, position - data_begin));
      }
      position += next.size_bytes;
    }
    if (position != bytes_->size()) {
      throw FileError(path_, fmt::format("data section: got {} bytes, expected the {} bytes of the tensors.",
                                         bytes_->size() - data_begin, position - data_begin));
    }
  }

  fs::path path_;
  std::shared_ptr<const FileBytes> bytes_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorInfo> tensors_;
  Metadata metadata_;
};

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const fs::path& path, bool memory_map) {
  return std::make_shared<OpenedFile>(path, memory_map);
}

}  // namespace loraptor::io
