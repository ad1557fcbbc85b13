// What a CUDA build says of itself.
#include "tensor/device.h"

namespace loraptor::tensor {

bool built_with_cuda() { return true; }

}  // namespace loraptor::tensor
