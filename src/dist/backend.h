// The two ways in which processes exchange tensors.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "dist/key_store.h"

namespace loraptor::dist {

/// Gloo, for tensors in host memory. Connects to all other processes.
c10::intrusive_ptr<c10d::Backend> make_gloo(const KeyStore& store, const World& world);

/// NCCL, for tensors on GPUs: with_nccl.cpp, or no_nccl.cpp in a build without CUDA, which throws UsageError.
c10::intrusive_ptr<c10d::Backend> make_nccl(const KeyStore& store, const World& world);

}  // namespace loraptor::dist
