// Files inside a page.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loraptor::report {

/// A file's bytes as the address of an image: "data:image/png;base64,…".
///   media_type   "image/png", "image/jpeg"
std::string data_url(const std::string& media_type, const std::vector<uint8_t>& bytes);

}  // namespace loraptor::report
