#include "base/error.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace loraptor {

FileError::FileError(const std::filesystem::path& path, const std::string& what)
    : std::runtime_error(fmt::format("[{}] {}", path.string(), what)) {}

FileError::FileError(const std::filesystem::path& path, uint64_t offset, const std::string& what)
    : std::runtime_error(fmt::format("[{}, byte {}] {}", path.string(), offset, what)) {}

FileError::FileError(const FileError& error, const std::string& hint)
    : std::runtime_error(fmt::format("{}\nHint: {}", error.what(), hint)) {}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr,
               "loraptor: internal error at %s:%d: '%s' does not hold. This is a bug of ours; please report it.\n",
               file, line, condition);
  std::abort();
}

}  // namespace loraptor
