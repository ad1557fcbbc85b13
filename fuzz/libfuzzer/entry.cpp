// Entry points for libFuzzer; the environment variable LORAPTOR_FUZZ_TARGET names the target.
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "targets.h"

namespace {
const loraptor::fuzz::Target* target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("LORAPTOR_FUZZ_TARGET");
  target = loraptor::fuzz::find_target(name == nullptr ? "" : name);
  if (target == nullptr) {
    std::cerr << "LORAPTOR_FUZZ_TARGET: expected one of";
    for (const auto& known : loraptor::fuzz::targets()) std::cerr << " " << known.name;
    std::cerr << "\n";
    return std::exit(2), 0;
  }
  loraptor::log::configure({.level = loraptor::log::Level::error, .file = {}});
  const auto work = std::filesystem::temp_directory_path() / ("loraptor-fuzz-" + std::to_string(::getpid()));
  std::filesystem::create_directories(work);
  loraptor::fuzz::set_work_folder(work);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  loraptor::fuzz::run_target(*target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
