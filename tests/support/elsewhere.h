// A device other than the CPU that every machine has, to find what would stay behind when a model lies on a GPU.
#pragma once

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <set>
#include <string>

namespace loraptor::test {

/// `meta`: tensors with shapes and without numbers. Whoever asks for one gets 1.
inline const at::Device kElsewhere(at::kMeta);

inline at::Tensor there(const at::Tensor& t) { return t.to(kElsewhere); }

/// Notes the operators that get tensors of two devices while it lives. Scalars of the CPU go with any device, and
/// copies are what goes from one to another.
class MixWatch {
 public:
  MixWatch();
  ~MixWatch();
  MixWatch(const MixWatch&) = delete;
  MixWatch& operator=(const MixWatch&) = delete;

  /// Names of the operators.
  static std::set<std::string> found();

 private:
  at::CallbackHandle handle_;
};

}  // namespace loraptor::test
