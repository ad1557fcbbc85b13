// CPython's random.Random (MT19937), for the draws that must equal the reference: batch order, splits, captions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace loraptor::data {

/// The generator behind Python's `random` module. Same seed and same calls give the same numbers as CPython 3.
/// Source: CPython Modules/_randommodule.c and Lib/random.py; M. Matsumoto, T. Nishimura, "Mersenne Twister" (1998).
class PythonRandom {
 public:
  /// random.seed(seed): the key is the seed's absolute value in 32-bit words, lowest first.
  explicit PythonRandom(int64_t seed);

  /// The same for a seed of any size: the words of its absolute value, lowest first, at least one, the last not 0
  /// unless it is the only one.
  explicit PythonRandom(const std::vector<uint32_t>& key) { init_by_array(key); }

  /// The next 32 bits.
  uint32_t bits32();

  /// getrandbits(count), 1 <= count <= 64. Above 32 bits the first word drawn is the lowest.
  uint64_t bits(int count);

  /// A uniform integer in [0, bound), bound > 0 (`_randbelow`). Draws nothing but rejected tries beyond one.
  uint64_t below(uint64_t bound);

  /// random(): a double in [0,1) with 53 bits.
  double random();

  /// randint(low, high), both included.
  int64_t randint(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

  /// uniform(low, high).
  double uniform(double low, double high) { return low + (high - low) * random(); }

  /// shuffle(items), in place.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i-- > 1;) {
      const auto j = static_cast<size_t>(below(i + 1));
      std::swap(items[i], items[j]);
    }
  }

 private:
  void init(uint32_t seed);
  void init_by_array(const std::vector<uint32_t>& key);
  void refill();

  static constexpr size_t kWords = 624;
  std::array<uint32_t, kWords> state_;
  size_t next_ = kWords;
};

/// Python's round() to an integer: halves go to the even neighbour.
int64_t python_round(double value);

}  // namespace loraptor::data
