// Small random damage to a file: what a fuzzer without feedback can do.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace loraptor::fuzz {

/// A damaged copy of one of the seeds: bits flipped, bytes set to telling values, pieces cut out, doubled, repeated
/// many times or taken from another seed, the end cut off, numbers (binary and in digits) made huge, zero or negative.
///   max_bytes   length of the longest result
std::string mutate(const std::vector<std::string>& seeds, size_t max_bytes, std::mt19937_64& random);

}  // namespace loraptor::fuzz
