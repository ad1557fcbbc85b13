# lt::torch: LibTorch from the PyPI wheel, by imported targets of our own. find_package(Torch) would demand a CUDA
# toolkit even for CPU builds and link libtorch_cuda, which doubles the start-up time (docs/architecture.md, "LibTorch").
if(NOT EXISTS "${TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found: got TORCH_DIR='${TORCH_DIR}', expected a folder with lib/libtorch_cpu.so.\n"
                      "Hint: run ./setup.sh, or give -DTORCH_DIR=<site-packages>/torch.")
endif()
get_filename_component(TORCH_DIR "${TORCH_DIR}" REALPATH)
get_filename_component(LORAPTOR_SITE_PACKAGES "${TORCH_DIR}" DIRECTORY)

function(_lt_import name)
  add_library(lt::${name} SHARED IMPORTED GLOBAL)
  set_target_properties(lt::${name} PROPERTIES IMPORTED_LOCATION "${TORCH_DIR}/lib/lib${name}.so")
  target_include_directories(lt::${name} SYSTEM INTERFACE
    "${TORCH_DIR}/include" "${TORCH_DIR}/include/torch/csrc/api/include")
endfunction()

_lt_import(c10)
_lt_import(torch_cpu)
add_library(lt::torch INTERFACE IMPORTED GLOBAL)
target_link_libraries(lt::torch INTERFACE lt::torch_cpu lt::c10)
# The wheel's profiler needs these two; they live in wheels of their own.
target_link_options(lt::torch INTERFACE
  "-Wl,-rpath-link,${LORAPTOR_SITE_PACKAGES}/nvidia/cu13/lib")
list(APPEND CMAKE_BUILD_RPATH "${TORCH_DIR}/lib" "${LORAPTOR_SITE_PACKAGES}/nvidia/cu13/lib")

if(LORAPTOR_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;100")
  endif()
  set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # unknown to CMake 3.25
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr --expt-extended-lambda")
  find_package(CUDAToolkit REQUIRED)
  _lt_import(c10_cuda)
  _lt_import(torch_cuda)
  target_include_directories(lt::torch SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(lt::torch INTERFACE
    -Wl,--push-state,--no-as-needed lt::torch_cuda -Wl,--pop-state lt::c10_cuda
    "${LORAPTOR_SITE_PACKAGES}/nvidia/cu13/lib/libcudart.so.13")
  target_link_options(lt::torch INTERFACE -Wl,--allow-shlib-undefined)
  # Where libtorch_cuda finds the rest of its libraries.
  file(GLOB _nvidia_libs "${LORAPTOR_SITE_PACKAGES}/nvidia/*/lib")
  list(APPEND CMAKE_BUILD_RPATH ${_nvidia_libs})
endif()
