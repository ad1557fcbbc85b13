// Subsets of images that do not exist.
#pragma once

#include <memory>
#include <string_view>

#include "data/dataset_build.h"

namespace loraptor::test {

class SubsetMaker {
 public:
  void add(std::string_view path, std::string_view caption, const data::Size& size) {
    const std::string_view kept = texts_->keep(caption);
    subset_.images.push_back({texts_->keep(path), kept, kept, size});
  }
  data::SubsetConfig& config() { return subset_.config; }
  data::ScannedSubset made() {
    subset_.texts = {texts_};
    return std::move(subset_);
  }

 private:
  std::shared_ptr<data::TextKeeper> texts_ = std::make_shared<data::TextKeeper>();
  data::ScannedSubset subset_;
};

}  // namespace loraptor::test
