// A moving average of the trained weights (--ema_decay): calmer than the weights themselves, for files and samples.
#pragma once

#include <ATen/ATen.h>

#include <functional>

#include "network/network.h"

namespace loraptor::train {

/// After the n-th update: average = d * average + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)), so that a
/// short run is not still at its initial values. Float32, where the weights are.
/// Ref: tensorflow ExponentialMovingAverage (num_updates).
class WeightAverage {
 public:
  /// The average begins at the present weights. `network` must outlive it.
  ///   decay   0 < decay < 1
  WeightAverage(const network::Network& network, double decay);

  /// Takes in the weights after update number `updates`, from 1.
  void update(int64_t updates);

  /// Float32, 1-D, in the layout of Network::flat_values.
  const at::Tensor& values() const { return values_; }
  void restore(const at::Tensor& values);

  /// Calls `work` while the network has the averaged weights, rounded to its dtype.
  void while_in_place(const std::function<void()>& work) const;

 private:
  const network::Network& network_;
  double decay_;
  at::Tensor values_;
};

}  // namespace loraptor::train
