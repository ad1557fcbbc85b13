// Which device a run uses, and numeric settings that belong to the whole process.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>

namespace loraptor::tensor {

/// "cuda" where this build and this machine can use a GPU, else "cpu".
at::Device default_device();

/// "cpu", "cuda" or "cuda:N". Throws UsageError naming `flag` for another name and for cuda without a GPU.
at::Device named_device(const std::string& name, std::string_view flag);

/// Whether this build links the CUDA half of LibTorch: with_cuda.cpp or no_cuda.cpp, chosen by CMake.
bool built_with_cuda();

/// One line for the log: what was found, or why there is no GPU.
std::string describe_device();

/// The CPU and its threads for the log; also what keeps them fewer than there are CPUs.
std::string describe_cpu();

enum class MatmulPrecision {
  automatic,  // the faster of oneDNN's and MKL's float32 products, as far as it stays true float32
  highest,    // MKL's, as the golden tests want it
  fast,       // lets the CPU use its fastest, even below float32
};

/// Sets the float32 product of the CPU for the whole process (docs/numerics.md).
void set_matmul_precision(MatmulPrecision precision);

}  // namespace loraptor::tensor
