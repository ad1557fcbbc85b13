// The last layer of the MMDiT: from image tokens to the values of their patches.
#pragma once

#include <ATen/ATen.h>

#include "models/checkpoint_reader.h"
#include "models/sd3_variant.h"
#include "nn/linear.h"
#include "nn/module_walk.h"

namespace loraptor::models {

class FinalLayer {
 public:
  FinalLayer(const PartReader& reader, const Sd3Variant& variant);

  ///   x           float32 [B,N,D]
  ///   condition   float32 [B,D], as for the blocks
  /// Returns [B,N,patch*patch*16] in the compute dtype, ordered (row, column, channel).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition) const;

  void visit_linears(const std::string& prefix, const nn::LinearVisitor& visit);

 private:
  nn::Linear modulation_, linear_;
};

}  // namespace loraptor::models
