// Which of the run's processes this is, as the launching program says in environment variables.
#pragma once

#include <cstdint>
#include <string>

namespace loraptor::dist {

struct World {
  int64_t rank = 0;  // 0: the main process, which writes and speaks
  int64_t size = 1;
  int64_t local_rank = 0;            // among the processes of this machine: the number of its GPU
  std::string master_address;        // where the main process is reached
  int64_t master_port = 0;           // 1 .. 65535
  bool store_is_served = false;      // torchrun itself serves the table that the processes meet in
  std::string store_prefix = "run";  // of the keys of this attempt in that table
  bool is_alone() const { return size == 1; }
};

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun, `accelerate launch` and our own
/// launcher set them. Without WORLD_SIZE, or where it is 1: a world of one.
/// Throws UsageError for variables that are missing, no numbers, or out of range.
World world_from_environment();

/// Whether this process is alone or the main one, which speaks for all. Looks at the same variables; never throws.
bool is_main_process();

/// "" in a world of one, else "process 1 of 4: ", for messages that several processes may write.
std::string process_label();

}  // namespace loraptor::dist
