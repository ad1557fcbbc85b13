// How often tags occur.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace loraptor::data {

/// Counts the comma-separated tags of the texts, stripped and in lower case; empty ones are left out.
std::map<std::string, int64_t> count_tags(std::span<const std::string_view> texts);

}  // namespace loraptor::data
