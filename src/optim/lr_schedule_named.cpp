// The schedules of --lr_scheduler: factors of the base learning rate.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "optim/lr_schedule_makers.h"

namespace loraptor::optim {
namespace {

using Factor = std::function<double(double n)>;

LrSchedule times_base(Factor factor) {
  return [factor = std::move(factor)](int64_t n, double base_lr) { return base_lr * factor(static_cast<double>(n)); };
}

/// Linear warm-up, then `after`.
LrSchedule with_warmup(int64_t warmup, Factor after) {
  const double w = static_cast<double>(warmup);
  return times_base([w, after = std::move(after)](double n) { return n < w ? n / std::max(1.0, w) : after(n); });
}

struct Span {
  double warmup, total;
  /// Share of the steps after the warm-up.
  double progress(double n) const { return (n - warmup) / std::max(1.0, total - warmup); }
};

Span span_of(const ScheduleRequest& request) {
  return {static_cast<double>(request.warmup), static_cast<double>(request.total)};
}

double half_waves(double cycles, double progress) { return 0.5 * (1.0 + std::cos(M_PI * cycles * progress)); }

/// The one floor that is given, as a fraction of the learning rate.
double floor_of(ScheduleRequest& request) {
  const auto rate = request.args.optional_number("min_lr"), fraction = request.args.optional_number("min_lr_rate");
  const auto option = request.config.lr_scheduler_min_lr_ratio;
  const int given = int{rate.has_value()} + int{fraction.has_value()} + int{option.has_value()};
  if (given != 1) {
    throw UsageError(
        fmt::format("[--lr_scheduler] cosine_with_min_lr needs its floor: got {}, expected one of "
                    "--lr_scheduler_min_lr_ratio and, in --lr_scheduler_args, min_lr and min_lr_rate.\nHint: such as "
                    "--lr_scheduler_min_lr_ratio 0.1.",
                    given == 0 ? "none" : "several"));
  }
  const double floor = option ? *option : fraction ? *fraction : *rate / request.run.learning_rate;
  if (std::isfinite(floor) && floor >= 0) return floor;
  throw UsageError(
      fmt::format("[--lr_scheduler] the floor of cosine_with_min_lr: got {} times --learning_rate {}, "
                  "expected a finite number from 0.",
                  floor, request.run.learning_rate));
}

Factor ramp(const std::string& kind, const char* argument) {
  if (kind == "linear") return [](double x) { return x; };
  if (kind == "cosine") return [](double x) { return 0.5 * (1.0 - std::cos(M_PI * x)); };
  if (kind == "1-sqrt") return [](double x) { return 1.0 - std::sqrt(1.0 - x); };
  throw UsageError(fmt::format(
      "[--lr_scheduler_args {}] unknown form: got '{}', expected 'linear', 'cosine' or '1-sqrt'.", argument, kind));
}

}  // namespace

LrSchedule make_constant(ScheduleRequest&) { return constant_lr_schedule(); }

LrSchedule make_constant_with_warmup(ScheduleRequest& request) {
  return with_warmup(request.warmup, [](double) { return 1.0; });
}

LrSchedule make_linear(ScheduleRequest& request) {
  const Span span = span_of(request);
  return with_warmup(request.warmup, [span](double n) {
    return std::max(0.0, (span.total - n) / std::max(1.0, span.total - span.warmup));
  });
}

LrSchedule make_cosine(ScheduleRequest& request) {
  const Span span = span_of(request);
  const double cycles = request.args.number("num_cycles", 0.5) * 2;
  return with_warmup(request.warmup, [=](double n) { return std::max(0.0, half_waves(cycles, span.progress(n))); });
}

LrSchedule make_cosine_with_restarts(ScheduleRequest& request) {
  const Span span = span_of(request);
  const double cycles = static_cast<double>(request.config.lr_scheduler_num_cycles);
  return with_warmup(request.warmup, [=](double n) {
    const double progress = span.progress(n);
    if (progress >= 1.0) return 0.0;
    return std::max(0.0, half_waves(1.0, std::fmod(cycles * progress, 1.0)));
  });
}

LrSchedule make_polynomial(ScheduleRequest& request) {
  const Span span = span_of(request);
  const double start = request.run.learning_rate, end = request.args.number("lr_end", 1e-7);
  const double power = request.config.lr_scheduler_power;
  if (!(start > end)) {
    throw UsageError(
        fmt::format("[--lr_scheduler_args lr_end] final rate is not below the initial one: got {}, expected "
                    "less than --learning_rate {}.",
                    end, start));
  }
  return with_warmup(request.warmup, [=](double n) {
    if (n > span.total) return end / start;
    const double remaining = 1 - (n - span.warmup) / (span.total - span.warmup);
    return ((start - end) * std::pow(remaining, power) + end) / start;
  });
}

LrSchedule make_inverse_sqrt(ScheduleRequest& request) {
  const double w = static_cast<double>(request.warmup);
  const int64_t otherwise = request.warmup > 0 ? request.warmup : 10000;
  const double timescale = static_cast<double>(request.config.lr_scheduler_timescale.value_or(otherwise));
  if (timescale <= 0) {
    throw UsageError(fmt::format("[--lr_scheduler_timescale] got {}, expected at least 1.", timescale));
  }
  return with_warmup(request.warmup, [=](double n) { return 1.0 / std::sqrt((n + timescale - w) / timescale); });
}

LrSchedule make_cosine_with_min_lr(ScheduleRequest& request) {
  const Span span = span_of(request);
  const double cycles = static_cast<double>(request.config.lr_scheduler_num_cycles);
  const double floor = floor_of(request);
  return with_warmup(request.warmup, [=](double n) {
    return std::max(0.0, half_waves(cycles, span.progress(n)) * (1 - floor) + floor);
  });
}

LrSchedule make_warmup_stable_decay(ScheduleRequest& request) {
  const double w = static_cast<double>(request.warmup), decay = static_cast<double>(request.decay);
  const double stable = static_cast<double>(request.total - request.warmup - request.decay);
  const double floor = request.config.lr_scheduler_min_lr_ratio.value_or(0.0);
  const double cycles = static_cast<double>(request.config.lr_scheduler_num_cycles);
  const auto rise = ramp(request.args.text("warmup_type", "linear"), "warmup_type");
  const std::string decay_type = request.args.text("decay_type", "cosine");
  const auto fall_ramp = ramp(decay_type, "decay_type");
  const Factor fall = [=](double x) {
    if (decay_type == "cosine") return half_waves(cycles, x);
    return decay_type == "linear" ? 1.0 - x : 1.0 - std::sqrt(x);
  };
  return times_base([=](double n) {
    if (n < w) return std::max(0.0, rise(n / std::max(1.0, w)) * (1 - floor) + floor);
    if (n < w + stable) return 1.0;
    if (n < w + stable + decay) {
      return std::max(0.0, fall((n - w - stable) / std::max(1.0, decay)) * (1 - floor) + floor);
    }
    return floor;
  });
}

LrSchedule make_piecewise_constant(ScheduleRequest& request) {
  request.args.require("step_rules", "piecewise_constant");
  const std::string rules = request.args.text("step_rules", "");
  std::vector<std::pair<double, double>> limits;  // (first step after the rule, factor)
  double last = 0;
  const auto number = [&](const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != 0) {
      throw UsageError(
          fmt::format("[--lr_scheduler_args step_rules] rule is not factor:step: got '{}' in '{}', expected "
                      "for example '1:10,0.1:20,0.01'.",
                      text, rules));
    }
    return value;
  };
  size_t at = 0;
  while (true) {
    const size_t comma = rules.find(',', at);
    const std::string rule = rules.substr(at, comma == std::string::npos ? comma : comma - at);
    if (comma == std::string::npos) {
      last = number(rule);
      break;
    }
    const size_t colon = rule.find(':');
    if (colon == std::string::npos) number("");
    limits.emplace_back(number(rule.substr(colon + 1)), number(rule.substr(0, colon)));
    at = comma + 1;
  }
  std::sort(limits.begin(), limits.end());  // by step, as the reference takes them
  return times_base([limits, last](double n) {
    for (const auto& [step, factor] : limits) {
      if (n < step) return factor;
    }
    return last;
  });
}

}  // namespace loraptor::optim
