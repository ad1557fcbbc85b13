// "Did you mean": the known names nearest to a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace loraptor {

/// Returns up to `limit` of `known` that are near to `name` (edit distance, or sharing a long prefix), nearest first.
std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& known, size_t limit = 3);

/// Returns "Did you mean 'a', 'b' or 'c'?", or "" if nothing is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

}  // namespace loraptor
