// One target under libFuzzer, which looks for new inputs by what code they reach (fuzz/README.md).
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "targets.h"

namespace {

namespace fs = std::filesystem;
using loraptor::fuzz::find_target;

fs::path work_folder() { return fs::temp_directory_path() / ("loraptor-fuzz-" + std::to_string(::getpid())); }

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fs::create_directories(work_folder());
  loraptor::fuzz::set_work_folder(work_folder());
  std::atexit([] {
    std::error_code ignored;
    fs::remove_all(work_folder(), ignored);
  });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& target = *find_target(LORAPTOR_FUZZ_TARGET);
  loraptor::fuzz::run_target(target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
