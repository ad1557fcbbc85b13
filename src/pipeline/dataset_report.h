// What a training run would see, and everything that is wrong with it, found out without a model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/subset_scan.h"
#include "text/tokenizer_files.h"

namespace loraptor::pipeline {

/// One thing that is worth knowing, with the files it is about.
struct Finding {
  bool is_problem = false;  // the run would stop, or train on something that nobody wants; else a note
  std::string text{};       // "images that fit no bucket (training stops at them): 3"
  std::vector<data::FileFinding> files{};
};

/// A subset as it is trained on.
struct SubsetSummary {
  int64_t dataset = 0;
  std::string source;  // folder or list
  bool is_reg = false;
  int64_t images = 0;
  int64_t repeats = 1;
  int64_t set_aside = 0;  // images for validation
  int64_t samples = 0;    // in an epoch, after balancing of regularisation images
};

/// A bucket of one data set.
struct BucketSummary {
  int64_t dataset = 0;
  data::Size size;
  std::vector<int64_t> images;  // numbers in Dataset::images()
  int64_t samples = 0;          // in an epoch
  int64_t batches = 0;          // in an epoch
};

std::vector<SubsetSummary> summarize_subsets(const data::DatasetGroups& groups);
std::vector<BucketSummary> summarize_buckets(const data::Dataset& dataset);

/// Tokens of the captions for one text encoder, start and end token included.
struct CaptionLengths {
  std::string encoder;          // "CLIP-L"
  int64_t limit = 77;           // tokens that it takes; the rest is not seen
  std::vector<int64_t> tokens;  // by number in Dataset::images() of the training group

  int64_t cut() const;  // captions that are longer
};

struct DatasetReport {
  data::DatasetGroups groups;
  std::vector<Finding> findings;        // problems first
  std::vector<CaptionLengths> lengths;  // CLIP-L, CLIP-G, T5; empty without tokenizers
  int64_t compared = 0;                 // files that were decoded and compared; 0 with headers_only

  int64_t problems() const;
};

struct DatasetReportOptions {
  uint64_t seed = 0;             // of the run: decides what is set aside for validation
  bool headers_only = false;     // image files are neither decoded nor compared
  bool stored_captions = false;  // captions are encoded as they are stored, as caches do
  int64_t t5_length = 256;
  text::TokenizerSearch tokenizers{};
  /// Told how far a stage is; calls do not overlap.
  std::function<void(const std::string& stage, int64_t done, int64_t total)> progress = [](auto&&...) {};
};

/// Scans, decodes and compares the files that `flags` describe. Images that cannot be trained on are findings, and left
/// out of `groups`. Problems are: subsets that are left out, files that cannot be read, images that fit no bucket,
/// images enlarged to twice their size or more, missing captions, captions longer than T5 takes, equal files, masks
/// without image and the reverse, images of another size than the name of their latent cache tells, stale or damaged
/// caches, nothing to train on. Notes are: images enlarged less,
/// captions longer than the CLIP encoders take, images that differ only in their extension, files that are not read
/// because of their names, missing tokenizers.
/// Throws UsageError, FileError where the description itself is wrong.
DatasetReport examine_dataset(const data::DataConfig& flags, const DatasetReportOptions& options);

}  // namespace loraptor::pipeline
