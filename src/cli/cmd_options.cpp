// `loraptor options`: the reference page of all options.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/help.h"

namespace loraptor::cli {

int run_options(const Words& words) {
  if (words == Words{"--help"} || words == Words{"-h"}) {
    fmt::print("usage: loraptor options\n\nPrints the reference page of all options of training, in Markdown.\n");
    return 0;
  }
  if (!words.empty()) throw UsageError(fmt::format("[options] words: got '{}', expected none.", words.front()));
  fmt::print("{}", options_markdown());
  return 0;
}

}  // namespace loraptor::cli
