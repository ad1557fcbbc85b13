#include "models/weights_hash.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "base/hash.h"

namespace loraptor::models {
namespace {

constexpr uint64_t kSampleBytes = 4096;

/// The beginning, the middle and the end of a tensor's bytes.
void add_samples(std::string& text, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  const std::string_view bytes(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  const uint64_t length = std::min<uint64_t>(kSampleBytes, bytes.size());
  for (const uint64_t place : {uint64_t{0}, (bytes.size() - length) / 2, bytes.size() - length}) {
    text += fmt::format("{:016x}", xxh3(bytes.substr(place, length)));
  }
}

}  // namespace

std::string weights_hash(const ModelFiles& files, Part part) {
  const PartReader reader = files.part(part, {});
  const auto file = io::SafetensorsFile::open(reader.path());
  std::string text;
  for (const std::string& name : reader.names()) {
    for (const std::string& piece : reader.source(name).pieces) {
      const io::TensorInfo& info = file->info(piece);
      text += fmt::format("{} {} [{}] ", name, c10::toString(info.dtype), fmt::join(info.shape, ","));
      add_samples(text, file->tensor(piece));
    }
  }
  return fmt::format("{:016x}", xxh3(text));
}

}  // namespace loraptor::models
