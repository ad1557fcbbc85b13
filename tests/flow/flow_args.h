// Reads the command-line words of the flow goldens.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "flow/flow_config.h"

namespace loraptor::test {

inline flow::FlowConfig flow_config(const nlohmann::json& args) {
  flow::FlowConfig config;
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    const std::string flag = args[i], value = args[i + 1];
    if (flag == "--weighting_scheme") config.weighting_scheme = value;
    else if (flag == "--logit_mean") config.logit_mean = std::stod(value);
    else if (flag == "--logit_std") config.logit_std = std::stod(value);
    else if (flag == "--mode_scale") config.mode_scale = std::stod(value);
    else if (flag == "--training_shift") config.training_shift = std::stod(value);
    else if (flag == "--min_timestep") config.min_timestep = std::stol(value);
    else if (flag == "--max_timestep") config.max_timestep = std::stol(value);
    else if (flag == "--loss_type") config.loss_type = value;
    else if (flag == "--huber_schedule") config.huber_schedule = value;
    else if (flag == "--huber_c") config.huber_c = std::stod(value);
    else if (flag == "--huber_scale") config.huber_scale = std::stod(value);
    else ADD_FAILURE() << "golden case uses " << flag;
  }
  return config;
}

}  // namespace loraptor::test
