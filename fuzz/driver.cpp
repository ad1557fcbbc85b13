// Runs a target on its seeds and on damaged copies of them, without a fuzzing compiler:
//
//   fuzz_run TARGET [--mutations N] [--seed S] [--failures FOLDER]     the seeds and N copies
//   fuzz_run TARGET FILE ...                                           these inputs only, to look at a failure
//
// The inputs are run in a child process with a limit of memory and time. If one ends it, the input is left in a file
// that is named, and the exit status is 1.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "mutate.h"
#include "targets.h"

namespace loraptor::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxBytes = 1 << 16;
constexpr rlim_t kMoreMemory = rlim_t{512} << 20;
constexpr unsigned kSeconds = 10;

/// Bad targets: the driver must notice what they do. `fuzz_run check` runs them.
const std::vector<Target> kBadTargets{{"crashes",
                                       [](std::string_view bytes) {
                                         if (bytes.size() % 7 == 3) std::abort();
                                       }},
                                      {"throws",
                                       [](std::string_view bytes) {
                                         if (bytes.size() % 7 == 3) throw std::out_of_range("at");
                                       }},
                                      {"allocates",
                                       [](std::string_view bytes) {
                                         if (bytes.size() % 7 == 3) std::vector<char>(size_t{4} << 30);
                                       }},
                                      {"hangs", [](std::string_view bytes) {
                                         while (bytes.size() % 7 == 3) std::this_thread::yield();
                                       }}};

struct Run {
  const Target* target;
  std::vector<std::string> inputs;  // run as they are
  size_t mutations = 0;
  uint64_t seed = 1;
  unsigned seconds = kSeconds;  // for one input
  fs::path failures = ".";
};

/// The input that is being run, seen by both processes.
struct Current {
  size_t number;
  size_t bytes;
  char input[kMaxBytes];
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("{} cannot be read", path.string()));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void limit_memory() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t limit = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kMoreMemory;
  const rlimit memory{limit, limit}, core{0, 0};
  ::setrlimit(RLIMIT_AS, &memory);
  ::setrlimit(RLIMIT_CORE, &core);
}

/// The child: runs everything, or dies.
void run_inputs(const Run& run, Current& current) {
  limit_memory();
  std::mt19937_64 random(run.seed);
  const size_t count = run.inputs.size() + run.mutations;
  for (size_t i = 0; i < count; ++i) {
    std::string input = i < run.inputs.size() ? run.inputs[i] : mutate(run.inputs, kMaxBytes, random);
    if (input.size() > kMaxBytes) input.resize(kMaxBytes);
    current.number = i;
    current.bytes = input.size();
    std::memcpy(current.input, input.data(), input.size());
    ::alarm(run.seconds);
    run_target(*run.target, input);
    ::alarm(0);
  }
}

std::string reason(int status) {
  if (WIFEXITED(status)) return fmt::format("the program ended with status {}", WEXITSTATUS(status));
  if (WTERMSIG(status) == SIGALRM) return "no end within the time limit";
  return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
}

/// Returns what went wrong; empty: nothing.
std::string run_guarded(const Run& run) {
  const fs::path work = fs::temp_directory_path() / fmt::format("loraptor-fuzz-{}", ::getpid());
  fs::create_directories(work);
  set_work_folder(work);
  auto* current = static_cast<Current*>(
      ::mmap(nullptr, sizeof(Current), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (current == MAP_FAILED) throw std::runtime_error("no shared memory");
  const pid_t child = ::fork();
  if (child == 0) {
    run_inputs(run, *current);
    ::_exit(0);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) throw std::runtime_error("no child process");
  fs::remove_all(work);
  std::string problem;
  if (status != 0) {
    fs::create_directories(run.failures);
    const fs::path kept = run.failures / fmt::format("{}-{}-{}", run.target->name, run.seed, current->number);
    std::ofstream(kept, std::ios::binary).write(current->input, static_cast<std::streamsize>(current->bytes));
    problem = fmt::format("{}: input {}: {}; the input is kept in {}", run.target->name, current->number,
                          reason(status), fs::absolute(kept).string());
  }
  ::munmap(current, sizeof(Current));
  return problem;
}

/// Whether the driver notices every kind of failure and keeps the input that caused it.
int check_driver(const fs::path& failures) {
  int missed = 0;
  for (const Target& target : kBadTargets) {
    const Run run{&target, {"0123456789"}, 0, 1, 1, failures};
    const std::string problem = run_guarded(run);
    std::cout << (problem.empty() ? fmt::format("{}: not noticed", target.name) : problem) << "\n";
    const fs::path kept = failures / fmt::format("{}-1-0", target.name);
    missed += problem.empty() || !fs::exists(kept) || read(kept) != run.inputs.front();
  }
  return missed == 0 ? 0 : 1;
}

std::vector<std::string> seeds_of(const std::string& target) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(LORAPTOR_FUZZ_SEEDS) / target)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds{""};
  for (const fs::path& path : paths) seeds.push_back(read(path));
  return seeds;
}

int run_words(const std::vector<std::string>& words) {
  const std::string name = words.empty() ? "" : words[0];
  Run run{find_target(name), {}};
  for (size_t i = 1; i < words.size(); ++i) {
    const bool has_value = i + 1 < words.size();
    if (words[i] == "--mutations" && has_value) {
      run.mutations = std::stoul(words[++i]);
    } else if (words[i] == "--seed" && has_value) {
      run.seed = std::stoul(words[++i]);
    } else if (words[i] == "--failures" && has_value) {
      run.failures = words[++i];
    } else {
      run.inputs.push_back(read(words[i]));
    }
  }
  if (name == "check") return check_driver(run.failures);
  if (run.target == nullptr) {
    std::cerr << "usage: fuzz_run TARGET [--mutations N] [--seed S] [--failures FOLDER] [FILE ...]\ntargets:";
    for (const Target& target : targets()) std::cerr << " " << target.name;
    std::cerr << ", or check for the driver itself\n";
    return 2;
  }
  if (run.inputs.empty()) run.inputs = seeds_of(name);
  const std::string problem = run_guarded(run);
  std::cout << (problem.empty() ? fmt::format("{}: {} inputs", name, run.inputs.size() + run.mutations) : problem)
            << "\n";
  return problem.empty() ? 0 : 1;
}

}  // namespace
}  // namespace loraptor::fuzz

int main(int count, char** words) {
  try {
    loraptor::log::configure({.level = loraptor::log::Level::error, .file = {}});
    return loraptor::fuzz::run_words({words + 1, words + count});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
