#include "network/load_report.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::network {
namespace {

std::string list_text(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  const std::vector<std::string> first(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return fmt::format("{} ({}{})", names.size(), fmt::join(first, ", "), names.size() > kShown ? ", …" : "");
}

}  // namespace

void LoadReport::tell(const std::filesystem::path& path) const {
  if (loaded == 0) {
    throw FileError(path, fmt::format("LoRA modules: got {}, expected some of this network's {}.", list_text(unknown),
                                      list_text(missing)));
  }
  if (!unknown.empty()) log::warn("[{}] not in this network, left out: {}.", path.string(), list_text(unknown));
  if (!missing.empty()) log::warn("[{}] not in the file, start afresh: {}.", path.string(), list_text(missing));
  log::info("[{}] {} modules loaded.", path.string(), loaded);
}

}  // namespace loraptor::network
