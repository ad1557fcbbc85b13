// What one optimizer step has to say to those who watch a run.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace loraptor::report {

using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// The numbers of one optimizer step.
struct StepRecord {
  int64_t step = 0;         // counted from 1 over the whole run
  int64_t epoch = 0;        // counted from 1
  double loss = 0;          // mean over the step's micro-steps
  double average = 0;       // running average of the progress line
  double grad_norm = 0;     // before clipping
  double seconds = 0;       // time this step took
  double data_seconds = 0;  // part of it in which the loop waited for batches
  NamedNumbers lrs;         // learning rate of each group, schedule applied
  NamedNumbers extras;      // further numbers with their TensorBoard tags, e.g. "max_norm/keys_scaled"
};

}  // namespace loraptor::report
