// Starts the processes of a run on this machine (`--num_processes`), where no other program does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loraptor::dist {

/// Starts `count` copies of this program and waits for them. Each is told its place by the variables that
/// world_from_environment reads; CPU threads are shared out unless OMP_NUM_THREADS is set. Signals that are sent to
/// this process alone are passed on. When one fails, the others have half a minute to end by themselves.
///   words   the command line of each, without the program's name
/// Returns 0, or the exit status of the first process that failed (128 + signal where one ended it).
int launch_processes(int64_t count, const std::vector<std::string>& words);

/// A port of 127.0.0.1 that nobody listens on now. Throws RunError if there is none.
int64_t free_port();

}  // namespace loraptor::dist
