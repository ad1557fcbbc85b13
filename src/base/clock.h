// Time: stopwatch, time stamps as the reference writes them, durations for people.
#pragma once

#include <chrono>
#include <string>

namespace loraptor {

/// Seconds since its construction, on the steady clock.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Seconds since 1970 with fraction, as Python's time.time().
double unix_time();

/// Local time as YYYYMMDDhhmmss.
std::string local_time_stamp();

/// Local time as YYYY-MM-DDThh:mm:ss, no zone.
std::string local_time_iso();

/// "1:02:03" or "02:03", as tqdm prints durations.
std::string format_duration(double seconds);

}  // namespace loraptor
