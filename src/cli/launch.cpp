#include "cli/launch.h"

#include <fmt/format.h>

#include "base/error.h"
#include "dist/launcher.h"
#include "dist/world.h"

namespace loraptor::cli {

std::optional<int> launch_if_asked(const std::string& command, const Words& words, const train::TrainConfig& config) {
  const dist::World world = dist::world_from_environment();
  const int64_t wanted = config.loop.num_processes.value_or(world.size);
  if (world.is_alone() && wanted > 1) {
    Words all{command};
    all.insert(all.end(), words.begin(), words.end());
    return dist::launch_processes(wanted, all);
  }
  if (wanted != world.size) {
    throw UsageError(
        fmt::format("[--num_processes] got {}, but WORLD_SIZE says {}, expected one of them.", wanted, world.size));
  }
  return std::nullopt;
}

}  // namespace loraptor::cli
