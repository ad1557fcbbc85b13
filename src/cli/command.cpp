// One explicit list: a new command is a row here and a file cmd_<name>.cpp.
#include "cli/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "base/error.h"
#include "base/suggest.h"
#include "cli/help.h"

namespace loraptor::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> list{
      {"train", "Train a LoRA.", run_train},
      {"dataset", "Say what would be trained on, and what is wrong with it.", run_dataset},
      {"cache", "Encode images and captions to disk, without training.", run_cache},
      {"generate", "Make images from a checkpoint with LoRAs.", run_generate},
      {"merge", "Write LoRAs into a checkpoint, or join several to one.", run_merge},
      {"extract", "Make a LoRA of the difference of two checkpoints.", run_extract},
      {"resize", "Cut a LoRA to fewer ranks.", run_resize},
      {"convert", "Rename a LoRA's tensors for another program.", run_convert},
      {"inspect", "Say what LoRA files and checkpoints hold.", run_inspect},
      {"options", "Print all options as Markdown.", run_options},
  };
  return list;
}

int run_command(const Words& words) {
  if (words.empty()) throw UsageError("[command line] options: got none, expected some.");
  const std::string& first = words.front();
  if (first == "--version") {
    fmt::print("loraptor {}\n", LORAPTOR_VERSION);
    return 0;
  }
  if (first[0] == '-') return run_train(words);
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (first == command.name) return command.run(Words(words.begin() + 1, words.end()));
    names.push_back(command.name);
  }
  const std::string suggestion = did_you_mean(first, names);
  throw UsageError(fmt::format("[{}] command: got an unknown one, expected one of {}, or an option.{}{}", first,
                               fmt::join(names, ", "), suggestion.empty() ? "" : "\nHint: ", suggestion));
}

}  // namespace loraptor::cli
