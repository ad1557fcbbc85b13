// How deep the brackets of a JSON text nest: parsers and printers of JSON call themselves once a level.
#pragma once

#include <string_view>

namespace loraptor {

/// Levels that no file of settings, list or header needs.
inline constexpr int kMaxJsonLevels = 100;

/// Whether more than `levels` brackets are open at some place. Brackets within quoted texts do not count.
bool nests_deeper(std::string_view json, int levels = kMaxJsonLevels);

}  // namespace loraptor
