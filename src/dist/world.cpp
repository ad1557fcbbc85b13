#include "dist/world.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace loraptor::dist {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

[[noreturn]] void refuse(const char* name, const std::string& got, const std::string& expected) {
  throw UsageError(
      fmt::format("[environment] {}: got {}, expected {}.\nHint: start several processes with torchrun, `accelerate "
                  "launch` or --num_processes N; unset WORLD_SIZE for one alone.",
                  name, got, expected));
}

int64_t number(const char* name, int64_t least, int64_t most) {
  const std::string expected = fmt::format("a whole number from {} to {}", least, most);
  const auto text = variable(name);
  if (!text) refuse(name, "nothing", expected);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool is_number = error == std::errc() && end == text->data() + text->size();
  if (!is_number || value < least || value > most) refuse(name, "'" + *text + "'", expected);
  return value;
}

}  // namespace

World world_from_environment() {
  constexpr int64_t kMostProcesses = 1 << 16, kMostPorts = (1 << 16) - 1;
  World world;
  if (!variable("WORLD_SIZE")) return world;
  world.size = number("WORLD_SIZE", 1, kMostProcesses);
  if (world.size == 1) return world;
  world.rank = number("RANK", 0, world.size - 1);
  world.local_rank = variable("LOCAL_RANK") ? number("LOCAL_RANK", 0, world.size - 1) : world.rank;
  const auto address = variable("MASTER_ADDR");
  if (!address) refuse("MASTER_ADDR", "nothing", "the name or address of the main process's machine");
  world.master_address = *address;
  world.master_port = number("MASTER_PORT", 1, kMostPorts);
  // Ref: PyTorch 2.11 torch/distributed/rendezvous.py:_create_c10d_store, _env_rendezvous_handler.
  world.store_is_served = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  const std::string attempt = variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  if (world.store_is_served) world.store_prefix = "/worker/attempt_" + attempt;
  return world;
}

bool is_main_process() {
  const std::string label = process_label();
  return label.empty() || label.starts_with("process 0 ");
}

std::string process_label() {
  const auto rank = variable("RANK"), size = variable("WORLD_SIZE");
  if (!rank || !size || *size == "1") return "";
  return fmt::format("process {} of {}: ", *rank, *size);
}

}  // namespace loraptor::dist
