// Decoding, resizing and cutting all images of a folder for 512 px buckets, in as many threads as there are cores.
//
//   bench_decode FOLDER       last line: decode SECONDS
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "data/batch.h"

namespace {

using namespace loraptor;

data::Dataset open_folder(const std::string& folder) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("bench_decode_{}.toml", ::getpid());
  std::ofstream(file) << fmt::format(
      "[[datasets]]\nresolution = 512\nenable_bucket = true\n[[datasets.subsets]]\nimage_dir = '{}'\n", folder);
  data::DataConfig flags;
  flags.dataset_config = file.string();
  data::Dataset dataset = data::Dataset::build(flags, 1);
  std::filesystem::remove(file);
  return dataset;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::cerr << "usage: bench_decode FOLDER\n";
    return 2;
  }
  log::configure({.level = log::Level::error, .file = {}});
  at::set_num_threads(1);  // the threads below are the parallel part
  const data::Dataset dataset = open_folder(words[1]);
  const Stopwatch watch;
  std::atomic<size_t> next = 0;
  std::atomic<int64_t> numbers = 0;
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < dataset.images().size();) {
      numbers += data::load_cache_input(dataset, dataset.images()[i]).pixels.numel();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  fmt::print("images {} numbers {}\ndecode {:.4f}\n", dataset.images().size(), numbers.load(), watch.seconds());
}
