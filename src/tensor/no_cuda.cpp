// What a CPU build says of itself.
#include "tensor/device.h"

namespace loraptor::tensor {

bool built_with_cuda() { return false; }

}  // namespace loraptor::tensor
