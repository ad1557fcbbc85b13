// Safetensors files: every dtype there and back, the reference writer's layout, every malformed header refused.
#include "io/safetensors.h"

#include <gtest/gtest.h>
