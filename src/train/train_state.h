// Where a run stands: everything that is not weights or optimizer state.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace loraptor::train {

struct TrainState {
  int64_t step = 0;        // optimizer steps done (counted, also skipped ones)
  int64_t updates = 0;     // optimizer steps that really happened: the index of the learning-rate schedule
  int64_t epoch = 1;       // the epoch being trained, from 1
  int64_t batch = 0;       // batches of this epoch done
  int64_t micro_step = 0;  // batches of the whole run done
  uint64_t seed = 0;
  std::vector<double> losses;  // of the loss average
};

nlohmann::json to_json(const TrainState& state);

/// Throws UsageError naming `source` if a member is missing or of a wrong type.
TrainState train_state_from_json(const nlohmann::json& json, const std::string& source);

}  // namespace loraptor::train
