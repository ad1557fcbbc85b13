// The start of a run on a large image folder: images, captions, sizes, names of caches.
//
//   bench_scan FOLDER [--forget]        --forget: as the first time, without the index that the last run left
// Prints what was found, bytes of memory an image beyond path and caption, and on the last line `scan SECONDS`.
#include <fmt/format.h>
#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/clock.h"
#include "base/log.h"
#include "data/dataset.h"
#include "data/image_listing.h"

namespace {

namespace fs = std::filesystem;
using namespace loraptor;

/// A data set description with one folder.
data::DataConfig describe(const std::string& folder, const fs::path& file) {
  std::ofstream(file) << fmt::format(
      "[[datasets]]\nresolution = 64\nenable_bucket = true\nmin_bucket_reso = 32\nmax_bucket_reso = 128\n"
      "bucket_reso_steps = 32\n[[datasets.subsets]]\nimage_dir = '{}'\ncaption_extension = '.txt'\n",
      folder);
  data::DataConfig flags;
  flags.dataset_config = file.string();
  return flags;
}

size_t used_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

void print_facts(const data::Dataset& dataset, size_t bytes) {
  int64_t captions = 0, pixels = 0;
  size_t texts = 0;
  for (const data::ImageEntry& image : dataset.images()) {
    captions += image.caption.empty() ? 0 : 1;
    pixels += int64_t{image.width} * image.height;
    texts += image.path.size() + image.caption.size();
  }
  const size_t images = dataset.images().size();
  fmt::print("found images {} captions {} pixels {}\n", images, captions, pixels);
  if (images > 0) fmt::print("memory {} bytes an image beyond path and caption\n", (bytes - texts) / images);
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::cerr << "usage: bench_scan FOLDER [--forget]\n";
    return 2;
  }
  log::configure({.level = log::Level::error, .file = {}});
  const std::string folder = words[1];
  if (count > 2) fs::remove_all(fs::path(folder) / ".loraptor");
  const fs::path file = fs::temp_directory_path() / fmt::format("bench_scan_{}.toml", ::getpid());
  const data::DataConfig flags = describe(folder, file);
  const size_t before = used_bytes();
  const Stopwatch watch;
  const data::Dataset dataset = data::Dataset::build(flags, 1);
  const double seconds = watch.seconds();
  print_facts(dataset, used_bytes() - before);
  fs::remove(file);
  fmt::print("scan {:.4f}\n", seconds);
}
