#include "base/atomic_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "base/error.h"

namespace loraptor {
namespace fs = std::filesystem;
namespace {

/// Names of new files reach the disk with their folder, not with the files.
void flush_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

[[noreturn]] void fail_to_place(const fs::path& folder) {
  throw FileError(folder, fmt::format("cannot be put in place: {}.", std::strerror(errno)));
}

/// Only a folder gives way to a folder.
void expect_replaceable(const fs::path& folder) {
  std::error_code code;
  if (!fs::exists(fs::symlink_status(folder, code)) || fs::is_directory(folder, code)) return;
  throw FileError(folder,
                  "cannot be made: got something that is no folder, expected a folder or nothing of this name.");
}

/// The process id at the end of `name` after ".tmp-" or ".old-", or 0.
int owner_of(std::string_view name) {
  for (const std::string_view mark : {".tmp-", ".old-"}) {
    const size_t at = name.rfind(mark);
    if (at == std::string_view::npos) continue;
    const std::string_view digits = name.substr(at + mark.size());
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string_view::npos) break;
    return std::stoi(std::string(digits));
  }
  return 0;
}

}  // namespace

AtomicFolder::AtomicFolder(fs::path folder) : folder_(std::move(folder)) {
  expect_replaceable(folder_);
  temporary_ = folder_;
  temporary_ += fmt::format(".tmp-{}", ::getpid());
  std::error_code code;
  if (fs::remove_all(temporary_, code); !code) {
    // Another process may remove a folder above, while it is empty, before the next one is in it.
    int attempts = 100;
    do fs::create_directories(temporary_, code);
    while (code && --attempts > 0);
  }
  if (code) throw FileError(folder_, fmt::format("cannot be made: {}.", code.message()));
}

AtomicFolder::~AtomicFolder() {
  std::error_code code;
  fs::remove_all(temporary_, code);
}

void AtomicFolder::commit() {
  expect_replaceable(folder_);
  flush_folder(temporary_);
  std::error_code code;
  if (!fs::exists(folder_, code)) {
    if (::rename(temporary_.c_str(), folder_.c_str()) != 0) fail_to_place(folder_);
  } else if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, folder_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) fail_to_place(folder_);
    fs::path old = folder_;
    old += fmt::format(".old-{}", ::getpid());
    if (::rename(folder_.c_str(), old.c_str()) != 0 || ::rename(temporary_.c_str(), folder_.c_str()) != 0)
      fail_to_place(folder_);
    fs::remove_all(old, code);
  }
  flush_folder(folder_.has_parent_path() ? folder_.parent_path() : ".");
  fs::remove_all(temporary_, code);  // the older folder, after an exchange
}

void remove_leftovers(const fs::path& folder, std::string_view prefix) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename().string();
    const int owner = owner_of(name);
    if (owner == 0 || !name.starts_with(prefix)) continue;
    const bool is_gone = ::kill(owner, 0) != 0 && errno == ESRCH;
    if (is_gone || owner == ::getpid()) fs::remove_all(entry.path(), code);
  }
}

}  // namespace loraptor
