// Entry point of every test program: fixed threads and MKL's float32 product, so that numbers repeat.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tensor/device.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  at::set_num_threads(2);
  loraptor::tensor::set_matmul_precision(loraptor::tensor::MatmulPrecision::highest);
  return RUN_ALL_TESTS();
}
