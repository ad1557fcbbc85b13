#include "data/tag_counts.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "data/python_text.h"

namespace loraptor::data {

std::map<std::string, int64_t> count_tags(std::span<const std::string_view> texts) {
  constexpr size_t kTextsPerThread = 5000;
  // Most texts have the same few tags: each that is written alike is looked at once.
  std::vector<std::unordered_map<std::string_view, int64_t>> parts(texts.size() / kTextsPerThread + 1);
  if (parts.size() > 2) parts.resize(std::clamp<size_t>(std::thread::hardware_concurrency(), 1, parts.size()));
  run_in_threads(static_cast<int64_t>(parts.size()), [&](int64_t item) {
    const auto part = static_cast<size_t>(item);
    std::unordered_map<std::string_view, int64_t> written;
    const size_t begin = texts.size() * part / parts.size(), end = texts.size() * (part + 1) / parts.size();
    for (std::string_view rest : texts.subspan(begin, end - begin)) {
      for (size_t comma; (comma = rest.find(',')) != std::string_view::npos; rest.remove_prefix(comma + 1)) {
        ++written[rest.substr(0, comma)];
      }
      ++written[rest];
    }
    parts[part] = std::move(written);
  });
  std::map<std::string, int64_t> counts;
  for (const auto& written : parts) {
    for (const auto& [text, count] : written) {
      if (std::string tag = lower(strip(text)); !tag.empty()) counts[std::move(tag)] += count;
    }
  }
  return counts;
}

}  // namespace loraptor::data
