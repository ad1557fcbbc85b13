// The three kinds of error a user can meet, and the assertion for our own bugs.
//
// Message form: "[where] fact: got X, expected Y." and, where there is something to try, "\nHint: ...".
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace loraptor {

/// The user can mend it in flags or in a configuration file: bad value, conflict, unknown key. Exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file is wrong: missing, truncated, wrong dtype, shape or key. Exit status 3.
class FileError : public std::runtime_error {
 public:
  /// what   "fact: got X, expected Y."; the path is put in front.
  FileError(const std::filesystem::path& path, const std::string& what);
  /// offset   byte position in the file where reading went wrong.
  FileError(const std::filesystem::path& path, uint64_t offset, const std::string& what);
  /// The same error with what to try.
  FileError(const FileError& error, const std::string& hint);
};

/// The run failed: loss became NaN, out of memory, lost process. Exit status 4.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace loraptor

/// Checks an invariant of our own code, in every build; a failure is a bug of ours and aborts.
#define LORAPTOR_ASSERT(condition) \
  ((condition) ? void(0) : ::loraptor::assertion_failed(#condition, __FILE__, __LINE__))
