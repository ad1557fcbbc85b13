// Writing and reading cache files of latents.
//
//   bench_cache write|read FOLDER [COUNT]       last line: KIND SECONDS
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "base/clock.h"
#include "data/latents_cache.h"

namespace {

using namespace loraptor;

constexpr data::Size kBucket{512, 512};

std::filesystem::path path_of(const std::string& folder, int64_t number) {
  return data::latents_cache_path(fmt::format("{}/{}.png", folder, number), kBucket);
}

void write(const std::string& folder, int64_t count) {
  data::StoredLatents stored;
  stored.latents = at::randn({16, 64, 64});
  stored.flipped = at::randn({16, 64, 64});
  stored.original = kBucket;
  for (int64_t i = 0; i < count; ++i) data::write_latents_cache(path_of(folder, i), kBucket, stored);
}

void read(const std::string& folder, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto stored = data::read_latents_cache(path_of(folder, i), {.bucket = kBucket, .flipped = true});
    sum += stored.latents.data_ptr<float>()[0];
  }
  fmt::print("sum {:.3f}\n", sum);
}

}  // namespace

int main(int count, char** words) {
  const std::string kind = count < 3 ? "" : words[1];
  if (kind != "write" && kind != "read") {
    std::cerr << "usage: bench_cache write|read FOLDER [COUNT]\n";
    return 2;
  }
  const int64_t files = count > 3 ? std::stoll(words[3]) : 500;
  const Stopwatch watch;
  kind == "write" ? write(words[2], files) : read(words[2], files);
  fmt::print("{} {:.4f}\n", kind, watch.seconds());
}
