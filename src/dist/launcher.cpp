#include "dist/launcher.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <thread>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::dist {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostProcesses = 256;
constexpr double kSecondsToEnd = 30, kSecondsToObey = 20;

// What the signal handler sees.
std::array<std::atomic<pid_t>, kMostProcesses> running{};

void send_to_all(int signal) {
  for (const auto& pid : running) {
    if (pid > 0) ::kill(pid, signal);
  }
}

/// A terminal sends its signals to all processes anyway; others reach only this one.
void pass_on(int signal, siginfo_t* info, void*) {
  if (info->si_code <= 0) send_to_all(signal);
}

void install_handlers() {
  struct sigaction action {};
  action.sa_sigaction = pass_on;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  // Ignored, as some supervisors leave it, no ended process could be waited for.
  ::signal(SIGCHLD, SIG_DFL);
}

/// In the new process: becomes the program. Returns only if that fails.
void become_program(const std::map<std::string, std::string>& variables, const std::vector<std::string>& words) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // nobody stays behind when the launcher is killed
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  std::string program = "loraptor";
  std::vector<char*> arguments{program.data()};
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv("/proc/self/exe", arguments.data());
}

std::map<std::string, std::string> variables_of(int64_t rank, int64_t count, int64_t port) {
  std::map<std::string, std::string> variables{{"RANK", fmt::format("{}", rank)},
                                               {"LOCAL_RANK", fmt::format("{}", rank)},
                                               {"WORLD_SIZE", fmt::format("{}", count)},
                                               {"MASTER_ADDR", "127.0.0.1"},
                                               {"MASTER_PORT", fmt::format("{}", port)}};
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    const int64_t cpus = std::max(1u, std::thread::hardware_concurrency());
    variables["OMP_NUM_THREADS"] = fmt::format("{}", std::max<int64_t>(1, cpus / count));
  }
  return variables;
}

/// The exit status that a shell would show.
int status_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

int wait_for_all(size_t count) {
  int first_failure = 0, next_signal = SIGTERM;
  Clock::time_point deadline;
  const auto in = [](double seconds) {
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  };
  for (size_t left = count; left > 0;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      for (auto& pid : running) {
        if (pid == ended) pid = 0;
      }
      --left;
      if (WIFSIGNALED(status)) log::error("process {} was ended by signal {}.", ended, WTERMSIG(status));
      if (status_of(status) != 0 && first_failure == 0) {
        first_failure = status_of(status);
        deadline = in(kSecondsToEnd);
      }
      continue;
    }
    if (first_failure != 0 && Clock::now() > deadline) {
      send_to_all(next_signal);
      next_signal = SIGKILL;
      deadline = in(kSecondsToObey);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return first_failure;
}

}  // namespace

int64_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const bool is_bound = socket >= 0 && ::bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                        ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (socket >= 0) ::close(socket);
  if (!is_bound) throw RunError("[--num_processes] network: got no free port on 127.0.0.1, expected one.");
  return ntohs(address.sin_port);
}

int launch_processes(int64_t count, const std::vector<std::string>& words) {
  if (count < 1 || count > static_cast<int64_t>(kMostProcesses)) {
    throw UsageError(fmt::format("[--num_processes] got {}, expected 1 to {}.", count, kMostProcesses));
  }
  const int64_t port = free_port();
  install_handlers();
  for (int64_t rank = 0; rank < count; ++rank) {
    const auto variables = variables_of(rank, count, port);
    const pid_t pid = ::fork();
    if (pid == 0) {
      become_program(variables, words);
      ::_exit(127);
    }
    if (pid < 0) {
      send_to_all(SIGKILL);
      throw RunError(fmt::format("[--num_processes] process {}: got no new process, expected one.", rank));
    }
    running[static_cast<size_t>(rank)] = pid;
  }
  return wait_for_all(static_cast<size_t>(count));
}

}  // namespace loraptor::dist
