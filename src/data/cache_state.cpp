#include "data/cache_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace loraptor::data {

std::string contents_of(const io::ArrayFile& file, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("{}={:08x};", name, file.checksum(name));
  return fmt::format("{:016x}", xxh3(text));
}

void expect_array(const io::ArrayFile& file, const std::string& name, const std::vector<at::ScalarType>& dtypes,
                  const std::vector<int64_t>& shape) {
  const io::NpyInfo info = file.info(name);
  if (std::find(dtypes.begin(), dtypes.end(), info.dtype) == dtypes.end()) {
    throw FileError(file.path(), fmt::format("array '{}': got dtype {}, expected {}.", name, c10::toString(info.dtype),
                                             c10::toString(dtypes.front())));
  }
  bool fits = info.shape.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] < 0 ? info.shape[i] > 0 : info.shape[i] == shape[i];
  }
  if (!fits) {
    throw FileError(file.path(), fmt::format("array '{}': got shape [{}], expected [{}].", name,
                                             fmt::join(info.shape, ","), fmt::join(shape, ",")));
  }
}

at::Tensor read_finite(const io::ArrayFile& file, const std::string& name) {
  const at::Tensor numbers = file.read(name).to(at::kFloat);
  if (!numbers.isfinite().all().item<bool>()) {
    throw FileError(file.path(), fmt::format("array '{}': got NaN or infinity, expected finite numbers.\n"
                                             "Hint: delete the file; it is made again. `loraptor dataset` names all "
                                             "that are damaged.",
                                             name));
  }
  return numbers;
}

bool cache_exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::optional<io::NpzFile> open_to_keep(const std::filesystem::path& path) {
  if (!cache_exists(path)) return std::nullopt;
  try {
    io::NpzFile file(path);
    // Everything that will be copied is read here, so that damage shows before anything is written.
    for (const std::string& name : file.names()) file.read_bytes(name);
    return file;
  } catch (const FileError& error) {
    log::warn("{} It is replaced.", error.what());
    return std::nullopt;
  }
}

}  // namespace loraptor::data
