// What the registry hands to the function that makes an optimizer.
#pragma once

#include <string>
#include <vector>

#include "optim/keyword_args.h"
#include "optim/optimizer.h"

namespace loraptor::optim {

struct OptimizerRequest {
  std::vector<ParamGroup>& groups;
  KeywordArgs& args;
  const OptimizerConfig& config;
  std::string class_name;  // as the metadata record it

  /// Refuses unknown arguments and returns the class with the arguments that were given.
  std::string described() const {
    args.finish(class_name);
    const std::string text = args.formatted();
    return text.empty() ? class_name : class_name + "(" + text + ")";
  }
};

}  // namespace loraptor::optim
