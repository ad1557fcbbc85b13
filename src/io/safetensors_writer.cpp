// Writing side of the safetensors format.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/safetensors.h"
#include "tensor/dtype.h"

namespace loraptor::io {
namespace {

/// Order of declaration of the reference writer's dtypes; files are sorted by it, descending.
int dtype_rank(at::ScalarType dtype) {
  constexpr at::ScalarType kAscending[] = {at::kBool,          at::kByte,  at::kChar,   at::kFloat8_e5m2,
                                           at::kFloat8_e4m3fn, at::kShort, at::kHalf,   at::kBFloat16,
                                           at::kInt,           at::kFloat, at::kDouble, at::kLong};
  const auto* found = std::find(std::begin(kAscending), std::end(kAscending), dtype);
  return static_cast<int>(found - std::begin(kAscending));
}

/// A JSON string. Bytes that are not UTF-8 (they come from users' captions and paths) become U+FFFD.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string metadata_member(const Metadata& metadata) {
  std::string text = "\"__metadata__\":{";
  for (const auto& [key, value] : metadata) {
    if (text.back() != '{') text += ',';
    text += quoted(key) + ':' + quoted(value);
  }
  return text + "}";
}

}  // namespace

SafetensorsLayout safetensors_layout(const NamedTensors& tensors, const Metadata& metadata, bool always_metadata) {
  SafetensorsLayout layout;
  layout.order.resize(tensors.size());
  std::iota(layout.order.begin(), layout.order.end(), size_t{0});
  std::sort(layout.order.begin(), layout.order.end(), [&](size_t a, size_t b) {
    const int rank_a = dtype_rank(tensors[a].second.scalar_type());
    const int rank_b = dtype_rank(tensors[b].second.scalar_type());
    return rank_a != rank_b ? rank_a > rank_b : tensors[a].first < tensors[b].first;
  });
  std::string json = "{";
  if (always_metadata || !metadata.empty()) json += metadata_member(metadata);
  for (size_t index : layout.order) {
    const auto& [name, tensor] = tensors[index];
    if (json.size() > 1) json += ',';
    const uint64_t end = layout.data_bytes + tensor.nbytes();
    json += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted(name),
                        tensor::safetensors_name(tensor.scalar_type()), fmt::join(tensor.sizes(), ","),
                        layout.data_bytes, end);
    layout.data_bytes = end;
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  for (int i = 0; i < 8; ++i) layout.header += static_cast<char>(json.size() >> (8 * i) & 0xff);
  layout.header += json;
  return layout;
}

void stream_safetensors_data(const NamedTensors& tensors, const SafetensorsLayout& layout,
                             const std::function<void(const void*, size_t)>& sink) {
  for (size_t index : layout.order) {
    const at::Tensor bytes = tensors[index].second.detach().to(at::kCPU).contiguous();
    if (bytes.nbytes() > 0) sink(bytes.const_data_ptr(), bytes.nbytes());
  }
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  const SafetensorsLayout layout = safetensors_layout(tensors, metadata);
  AtomicFile file(path);
  file.write(layout.header);
  stream_safetensors_data(tensors, layout, [&](const void* data, size_t bytes) { file.write(data, bytes); });
  file.commit();
}

}  // namespace loraptor::io
