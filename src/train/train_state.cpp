#include "train/train_state.h"

#include "base/error.h"

namespace loraptor::train {

nlohmann::json to_json(const TrainState& state) {
  return {{"step", state.step},
          {"updates", state.updates},
          {"epoch", state.epoch},
          {"batch", state.batch},
          {"losses", state.losses},
          {"micro_step", state.micro_step},
          {"seed", state.seed},
          {"events_done", state.events_done},
          {"group_losses", state.group_losses},
          {"group_bands", state.group_bands},
          {"recent_losses", state.recent_losses},
          {"far_losses", state.far_losses},
          {"rollbacks", state.rollbacks}};
}

TrainState train_state_from_json(const nlohmann::json& json, const std::string& source) {
  try {
    TrainState state;
    json.at("step").get_to(state.step);
    json.at("updates").get_to(state.updates);
    json.at("epoch").get_to(state.epoch);
    json.at("batch").get_to(state.batch);
    json.at("micro_step").get_to(state.micro_step);
    json.at("seed").get_to(state.seed);
    json.at("losses").get_to(state.losses);
    state.events_done = json.value("events_done", state.events_done);
    state.group_losses = json.value("group_losses", state.group_losses);
    state.group_bands = json.value("group_bands", state.group_bands);
    state.recent_losses = json.value("recent_losses", state.recent_losses);
    state.far_losses = json.value("far_losses", state.far_losses);
    state.rollbacks = json.value("rollbacks", state.rollbacks);
    return state;
  } catch (const nlohmann::json::exception& e) {
    throw UsageError(fmt::format("[{}] training state cannot be read: {}.", source, e.what()));
  }
}

}  // namespace loraptor::train
