// The program: runs a command and turns errors into messages and exit statuses.
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "base/error.h"
#include "base/signals.h"
#include "base/thread_waits.h"
#include "cli/command.h"
#include "cli/help.h"
#include "dist/world.h"

namespace {

enum ExitStatus { kUsage = 2, kFile = 3, kRun = 4 };

void print_error(const std::string& message) {
  fmt::print(stderr, "error: {}{}\n", loraptor::dist::process_label(), message);
}

void print_out_of_memory(const std::string& message) {
  print_error(message);
  fmt::print(stderr,
             "Hint: these save memory: --gradient_checkpointing, --cache_latents, --cache_text_encoder_outputs, "
             "--mixed_precision bf16, --train_batch_size 1 with --gradient_accumulation_steps, a smaller "
             "--resolution.\n");
}

/// Runs the command that the words name and returns the exit status.
int run(int argc, char** argv) {
  using namespace loraptor;
  const ThreadWaits waits;
  try {
    return cli::run_command(cli::Words(argv + 1, argv + argc));
  } catch (const UsageError& error) {
    if (dist::is_main_process()) fmt::print(stderr, "{}", cli::usage_text(argc > 1 ? argv[1] : ""));
    print_error(error.what());
    return kUsage;
  } catch (const FileError& error) {
    print_error(error.what());
    return kFile;
  } catch (const Stopped& stopped) {
    if (dist::is_main_process()) fmt::print(stderr, "{}\n", stopped.what());
    return 128 + stopped.signal();
  } catch (const RunError& error) {
    print_error(error.what());
  } catch (const c10::OutOfMemoryError& error) {
    print_out_of_memory(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    const bool is_out_of_memory = message.find("not enough memory") != std::string::npos;
    is_out_of_memory ? print_out_of_memory(message) : print_error(message);
  } catch (const std::bad_alloc&) {
    print_out_of_memory("Host memory: got less than the run needs.");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return kRun;
}

}  // namespace

int main(int argc, char** argv) {
  // Beyond `ulimit -f` writing then fails as on a full disk, with a message and without half files.
  ::signal(SIGXFSZ, SIG_IGN);
  const int status = run(argc, argv);
#ifdef __SANITIZE_ADDRESS__
  return status;  // a leak is told by an exit handler
#else
  // At exit LibTorch takes its registry of operators apart, one by one: a quarter of the time that `--help` takes.
  std::fflush(nullptr);
  std::_Exit(status);
#endif
}
