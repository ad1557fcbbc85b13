// CPython's random.Random (MT19937).
#include "data/python_random.h"

#include <bit>
#include <cmath>

#include "base/error.h"

namespace loraptor::data {
namespace {

constexpr size_t kShift = 397;

}  // namespace

PythonRandom::PythonRandom(int64_t seed) {
  const uint64_t magnitude = seed < 0 ? 0 - static_cast<uint64_t>(seed) : static_cast<uint64_t>(seed);
  std::vector<uint32_t> key{static_cast<uint32_t>(magnitude)};
  if (magnitude >> 32) key.push_back(static_cast<uint32_t>(magnitude >> 32));
  init_by_array(key);
}

void PythonRandom::init(uint32_t seed) {
  state_[0] = seed;
  for (size_t i = 1; i < kWords; ++i) {
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + static_cast<uint32_t>(i);
  }
  next_ = kWords;
}

void PythonRandom::init_by_array(const std::vector<uint32_t>& key) {
  init(19650218u);
  size_t i = 1, j = 0;
  const auto wrap = [&] {
    if (++i >= kWords) {
      state_[0] = state_[kWords - 1];
      i = 1;
    }
  };
  for (size_t k = std::max(kWords, key.size()); k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525u)) + key[j] + static_cast<uint32_t>(j);
    wrap();
    if (++j >= key.size()) j = 0;
  }
  for (size_t k = kWords - 1; k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941u)) - static_cast<uint32_t>(i);
    wrap();
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::refill() {
  for (size_t i = 0; i < kWords; ++i) {
    const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7fffffffu);
    state_[i] = state_[(i + kShift) % kWords] ^ (y >> 1) ^ ((y & 1u) ? 0x9908b0dfu : 0u);
  }
  next_ = 0;
}

uint32_t PythonRandom::bits32() {
  if (next_ >= kWords) refill();
  uint32_t y = state_[next_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

uint64_t PythonRandom::bits(int count) {
  LORAPTOR_ASSERT(count >= 1 && count <= 64);
  if (count <= 32) return bits32() >> (32 - count);
  const uint64_t low = bits32();
  const uint64_t high = bits32() >> (64 - count);
  return low | (high << 32);
}

uint64_t PythonRandom::below(uint64_t bound) {
  LORAPTOR_ASSERT(bound > 0);
  const int width = std::bit_width(bound);
  uint64_t value = bits(width);
  while (value >= bound) value = bits(width);
  return value;
}

double PythonRandom::random() {
  const uint32_t high = bits32() >> 5;
  const uint32_t low = bits32() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

int64_t python_round(double value) { return std::llrint(value); }

}  // namespace loraptor::data
