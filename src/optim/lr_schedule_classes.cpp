// The classes of torch.optim.lr_scheduler, in closed form.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "optim/lr_schedule_makers.h"

namespace loraptor::optim {
namespace {

double as_double(int64_t n) { return static_cast<double>(n); }

/// Half a cosine wave from `start` to `end`.
double cosine_between(double start, double end, double share) {
  return end + (start - end) / 2.0 * (std::cos(M_PI * share) + 1);
}

int64_t required_integer(ScheduleRequest& request, const char* key, const char* class_name) {
  request.args.require(key, class_name);
  return request.args.integer(key, 0);
}

double required_number(ScheduleRequest& request, const char* key, const char* class_name) {
  request.args.require(key, class_name);
  return request.args.number(key, 0);
}

/// Throws UsageError unless a length is above 0.
void expect_length(double value, const char* key) {
  if (value > 0) return;
  throw UsageError(fmt::format("[--lr_scheduler_args {}] got {}, expected a number above 0.", key, value));
}

void ignore_bookkeeping(ScheduleRequest& request) {
  request.args.without_effect("last_epoch", "resuming is by state");
  request.args.without_effect("verbose", "see the log files");
}

/// The momentum falls from `most` to `least` while the learning rate rises.
struct MomentumCycle {
  bool is_on;
  double least, most;
};

MomentumCycle read_momentum_cycle(ScheduleRequest& request, double least, double most) {
  return {request.args.flag("cycle_momentum", true), request.args.number("base_momentum", least),
          request.args.number("max_momentum", most)};
}

}  // namespace

LrSchedule make_step_lr(ScheduleRequest& request) {
  const int64_t size = required_integer(request, "step_size", "StepLR");
  expect_length(as_double(size), "step_size");
  const double gamma = request.args.number("gamma", 0.1);
  ignore_bookkeeping(request);
  return [=](int64_t n, double base) { return base * std::pow(gamma, as_double(n / size)); };
}

LrSchedule make_multi_step_lr(ScheduleRequest& request) {
  request.args.require("milestones", "MultiStepLR");
  auto milestones = request.args.number_list("milestones");
  std::sort(milestones.begin(), milestones.end());
  const double gamma = request.args.number("gamma", 0.1);
  ignore_bookkeeping(request);
  return [=](int64_t n, double base) {
    const auto passed = std::upper_bound(milestones.begin(), milestones.end(), as_double(n)) - milestones.begin();
    return base * std::pow(gamma, as_double(passed));
  };
}

LrSchedule make_constant_lr(ScheduleRequest& request) {
  const double factor = request.args.number("factor", 1.0 / 3);
  const int64_t total = request.args.integer("total_iters", 5);
  ignore_bookkeeping(request);
  return [=](int64_t n, double base) { return n < total ? base * factor : base; };
}

LrSchedule make_linear_lr(ScheduleRequest& request) {
  const double start = request.args.number("start_factor", 1.0 / 3), end = request.args.number("end_factor", 1.0);
  const int64_t total = request.args.integer("total_iters", 5);
  ignore_bookkeeping(request);
  if (total == 0) return [=](int64_t, double base) { return base * start; };
  expect_length(as_double(total), "total_iters");
  return [=](int64_t n, double base) {
    return base * (start + (end - start) * as_double(std::min(n, total)) / as_double(total));
  };
}

LrSchedule make_exponential_lr(ScheduleRequest& request) {
  const double gamma = required_number(request, "gamma", "ExponentialLR");
  ignore_bookkeeping(request);
  return [=](int64_t n, double base) { return base * std::pow(gamma, as_double(n)); };
}

LrSchedule make_polynomial_lr(ScheduleRequest& request) {
  const int64_t total = request.args.integer("total_iters", 5);
  const double power = request.args.number("power", 1.0);
  ignore_bookkeeping(request);
  if (total == 0) return [=](int64_t, double base) { return base; };
  expect_length(as_double(total), "total_iters");
  return [=](int64_t n, double base) {
    return base * std::pow(1.0 - as_double(std::min(n, total)) / as_double(total), power);
  };
}

LrSchedule make_cosine_annealing_lr(ScheduleRequest& request) {
  const double period = required_number(request, "T_max", "CosineAnnealingLR");
  expect_length(period, "T_max");
  const double floor = request.args.number("eta_min", 0.0);
  ignore_bookkeeping(request);
  return
      [=](int64_t n, double base) { return floor + (base - floor) * (1 + std::cos(M_PI * as_double(n) / period)) / 2; };
}

LrSchedule make_cosine_annealing_warm_restarts(ScheduleRequest& request) {
  const int64_t first = required_integer(request, "T_0", "CosineAnnealingWarmRestarts");
  const int64_t growth = request.args.integer("T_mult", 1);
  const double floor = request.args.number("eta_min", 0.0);
  ignore_bookkeeping(request);
  if (first < 1 || growth < 1) {
    throw UsageError(
        fmt::format("[--lr_scheduler_args] periods must be positive: got T_0={} and T_mult={}, expected integers >= 1.",
                    first, growth));
  }
  return [=](int64_t n, double base) {
    int64_t period = first;
    while (n >= period) {
      n -= period;
      period *= growth;
    }
    return floor + (base - floor) * (1 + std::cos(M_PI * as_double(n) / as_double(period))) / 2;
  };
}

LrSchedule make_one_cycle_lr(ScheduleRequest& request) {
  auto& args = request.args;
  const double peak = required_number(request, "max_lr", "OneCycleLR");
  auto total = args.optional_integer("total_steps");
  const auto epochs = args.optional_integer("epochs"), per_epoch = args.optional_integer("steps_per_epoch");
  if (!total && epochs && per_epoch) total = *epochs * *per_epoch;
  if (!total || *total < 1) {
    throw UsageError("[--lr_scheduler_args] OneCycleLR needs its length: got none, expected total_steps=N.");
  }
  const double rise = args.number("pct_start", 0.3), div = args.number("div_factor", 25.0);
  const double final_div = args.number("final_div_factor", 1e4);
  const bool three_phase = args.flag("three_phase", false);
  const std::string strategy = args.text("anneal_strategy", "cos");
  if (strategy != "cos" && strategy != "linear") {
    throw UsageError(fmt::format(
        "[--lr_scheduler_args anneal_strategy] unknown form: got '{}', expected 'cos' or 'linear'.", strategy));
  }
  const MomentumCycle momentum = read_momentum_cycle(request, 0.85, 0.95);
  ignore_bookkeeping(request);
  struct Range {
    double start, end;
  };
  struct Phase {
    double last_step;
    Range rate, momentum;
  };
  const double initial = peak / div, minimum = initial / final_div, steps = as_double(*total);
  if (!(rise >= 0 && rise <= 1)) {
    throw UsageError(fmt::format("[--lr_scheduler_args pct_start] got {}, expected a share from 0 to 1.", rise));
  }
  const double most = momentum.most, least = momentum.least;
  std::vector<Phase> phases;
  phases.push_back({rise * steps - 1, {initial, peak}, {most, least}});
  if (three_phase) phases.push_back({2 * rise * steps - 2, {peak, initial}, {least, most}});
  phases.push_back({steps - 1, {three_phase ? initial : peak, minimum}, {three_phase ? most : least, most}});
  for (size_t p = 0; p < phases.size(); ++p) {
    if (phases[p].last_step != (p == 0 ? 0 : phases[p - 1].last_step)) continue;
    throw UsageError(
        fmt::format("[--lr_scheduler_args] OneCycleLR has a phase without steps: got total_steps={} and pct_start={}.",
                    *total, rise));
  }
  const bool is_cosine = strategy == "cos";
  const auto value_at = [=](int64_t n, Range Phase::*range) {
    // The counter stops at the total number of steps: PyTorch's class would refuse to go on.
    const double step = std::min(as_double(n), steps);
    double phase_start = 0;
    size_t p = 0;
    while (p + 1 < phases.size() && step > phases[p].last_step) phase_start = phases[p++].last_step;
    const double share = (step - phase_start) / (phases[p].last_step - phase_start);
    const auto [start, end] = phases[p].*range;
    return is_cosine ? cosine_between(start, end, share) : start + (end - start) * share;
  };
  const auto rate = [=](int64_t n, double) { return value_at(n, &Phase::rate); };
  if (!momentum.is_on) return {rate};
  return {rate, [=](int64_t n) { return value_at(n, &Phase::momentum); }};
}

LrSchedule make_cyclic_lr(ScheduleRequest& request) {
  auto& args = request.args;
  const double low = required_number(request, "base_lr", "CyclicLR"),
               high = required_number(request, "max_lr", "CyclicLR");
  const double up = as_double(args.integer("step_size_up", 2000));
  const double down = as_double(args.optional_integer("step_size_down").value_or(static_cast<int64_t>(up)));
  expect_length(up, "step_size_up");
  expect_length(down, "step_size_down");
  const std::string mode = args.text("mode", "triangular");
  const double gamma = args.number("gamma", 1.0);
  if (mode != "triangular" && mode != "triangular2" && mode != "exp_range") {
    throw UsageError(fmt::format(
        "[--lr_scheduler_args mode] unknown form: got '{}', expected 'triangular', 'triangular2' or 'exp_range'.",
        mode));
  }
  const MomentumCycle momentum = read_momentum_cycle(request, 0.8, 0.9);
  ignore_bookkeeping(request);
  const double period = up + down, turn = up / period;
  const auto height_at = [=](int64_t n) {
    const double cycle = std::floor(1 + as_double(n) / period);
    const double x = 1.0 + as_double(n) / period - cycle;
    const double height = x <= turn ? x / turn : (x - 1) / (turn - 1);
    double scale = 1;
    if (mode == "triangular2") scale = 1 / std::pow(2.0, cycle - 1);
    if (mode == "exp_range") scale = std::pow(gamma, as_double(n));
    return height * scale;
  };
  const auto rate = [=](int64_t n, double) { return low + (high - low) * height_at(n); };
  if (!momentum.is_on) return {rate};
  return {rate, [=](int64_t n) { return momentum.most - (momentum.most - momentum.least) * height_at(n); }};
}

}  // namespace loraptor::optim
