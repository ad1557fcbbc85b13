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
  int64_t step = 0;                // counted from 1 over the whole run
  int64_t epoch = 0;               // counted from 1
  double loss = 0;                 // mean over the step's micro-steps
  double average = 0;              // running average of the progress line
  double grad_norm = 0;            // before clipping
  double seconds = 0;              // time this step took
  double data_seconds = 0;         // part of it in which the loop waited for batches
  int64_t images = 0;              // in the step, of all processes
  double seconds_left = 0;         // of the run, from the mean of its steps
  int64_t peak_memory = 0;         // bytes of host memory
  NamedNumbers timestep_losses{};  // mean loss of the images of each band of timesteps ("0-250"), where there are any
  NamedNumbers lrs{};              // learning rate of each group, schedule applied
  NamedNumbers extras{};           // further numbers with their TensorBoard tags, e.g. "max_norm/keys_scaled"

  double images_per_second() const { return seconds > 0 ? static_cast<double>(images) / seconds : 0; }
};

}  // namespace loraptor::report
