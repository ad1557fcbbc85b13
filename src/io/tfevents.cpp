#include "io/tfevents.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "base/atomic_file.h"
#include "base/clock.h"

namespace loraptor::io {
namespace {

// Protocol-buffer wire format: the few forms an event needs.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) { put_varint(out, static_cast<uint64_t>(field << 3 | type)); }

template <class T>
void put_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);  // little-endian machine
}

void put_bytes(std::string& out, int field, const std::string& bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

/// google.protobuf.Value
std::string proto_value(const HparamValue& value) {
  std::string out;
  if (const auto* number = std::get_if<double>(&value)) {
    put_key(out, 2, kFixed64);
    put_raw(out, *number);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    put_bytes(out, 3, *text);
  } else {
    put_key(out, 4, kVarint);
    put_varint(out, std::get<bool>(value) ? 1 : 0);
  }
  return out;
}

/// A Summary.Value without data for the HParams page; `field` says which message `content` is.
std::string hparams_summary(const std::string& tag, int field, const std::string& content) {
  std::string message, plugin, plugin_data, value;
  put_bytes(message, field, content);
  put_bytes(plugin, 1, "hparams");
  put_bytes(plugin, 2, message);
  put_bytes(plugin_data, 1, plugin);
  put_bytes(value, 1, tag);
  put_bytes(value, 9, plugin_data);
  return value;
}

std::string event(int64_t step) {
  std::string out;
  put_key(out, 1, kFixed64);  // wall_time
  put_raw(out, unix_time());
  if (step != 0) {
    put_key(out, 2, kVarint);  // step
    put_varint(out, static_cast<uint64_t>(step));
  }
  return out;
}

/// Makes an empty one.
std::filesystem::path new_event_file(const std::filesystem::path& folder) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  auto path =
      folder / fmt::format("events.out.tfevents.{}.{}.{}.0", static_cast<int64_t>(unix_time()), host, ::getpid());
  write_file(path, "");
  return path;
}

}  // namespace

uint32_t crc32c(const std::string& bytes) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0u);
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (unsigned char byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ byte) & 0xFF];
  return ~crc;
}

uint32_t masked_crc32c(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

EventFile::EventFile(const std::filesystem::path& folder) : file_(new_event_file(folder)) {
  std::string first = event(0);
  put_bytes(first, 3, "brain.Event:2");  // file_version
  write_record(first);
}

void EventFile::add_scalar(const std::string& tag, double value, int64_t step) {
  std::string scalar;  // Summary.Value
  put_bytes(scalar, 1, tag);
  put_key(scalar, 2, kFixed32);  // simple_value
  put_raw(scalar, static_cast<float>(value));
  write_summary(scalar, step);
}

void EventFile::add_text(const std::string& tag, const std::string& text, int64_t step) {
  std::string plugin, plugin_data, one_element, shape, tensor, value;
  put_bytes(plugin, 1, "text");
  put_bytes(plugin_data, 1, plugin);
  put_key(one_element, 1, kVarint);
  put_varint(one_element, 1);
  put_bytes(shape, 2, one_element);
  constexpr uint64_t kStringType = 7;
  put_key(tensor, 1, kVarint);
  put_varint(tensor, kStringType);
  put_bytes(tensor, 2, shape);
  put_bytes(tensor, 8, text);
  put_bytes(value, 1, tag);
  put_bytes(value, 9, plugin_data);
  put_bytes(value, 8, tensor);
  write_summary(value, step);
}

void EventFile::add_hparams(const std::vector<std::pair<std::string, HparamValue>>& values) {
  std::string start, end;
  for (const auto& [name, value] : values) {
    std::string entry;  // of a map<string, google.protobuf.Value>
    put_bytes(entry, 1, name);
    put_bytes(entry, 2, proto_value(value));
    put_bytes(start, 1, entry);
  }
  constexpr int kStartInfo = 3, kEndInfo = 4;
  constexpr uint64_t kSuccess = 1;
  put_key(end, 1, kVarint);
  put_varint(end, kSuccess);
  write_summary(hparams_summary("_hparams_/session_start_info", kStartInfo, start), 0);
  write_summary(hparams_summary("_hparams_/session_end_info", kEndInfo, end), 0);
}

void EventFile::write_summary(const std::string& value, int64_t step) {
  std::string summary, out = event(step);
  put_bytes(summary, 1, value);
  put_bytes(out, 5, summary);
  write_record(out);
}

void EventFile::write_record(const std::string& data) {
  std::string length, record;
  put_raw(length, static_cast<uint64_t>(data.size()));
  record = length;
  put_raw(record, masked_crc32c(length));
  record += data;
  put_raw(record, masked_crc32c(data));
  file_.write(record);
}

}  // namespace loraptor::io
