// What a build without CUDA says when several GPUs are to be trained on.
#include "base/error.h"
#include "dist/backend.h"

namespace loraptor::dist {

c10::intrusive_ptr<c10d::Backend> make_nccl(const KeyStore&, const World&) {
  throw UsageError("[--device] several GPUs: got a build without CUDA, expected one with it.\nHint: --device cpu.");
}

}  // namespace loraptor::dist
