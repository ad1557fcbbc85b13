# One static library a folder, so that the links mirror the tiers; one precompiled header for all of them.

add_library(loraptor_options INTERFACE)
target_compile_features(loraptor_options INTERFACE cxx_std_20)
target_compile_options(loraptor_options INTERFACE -Wall -Wextra -Wno-unused-parameter -Werror -fvisibility=hidden
  $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)  # loops that stay loops are no error
target_include_directories(loraptor_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
# libtorch exports a few fmt symbols, so fmt and spdlog are used header-only.
target_link_libraries(loraptor_options INTERFACE
  fmt::fmt-header-only spdlog::spdlog_header_only nlohmann_json::nlohmann_json OpenMP::OpenMP_CXX Threads::Threads)
target_compile_definitions(loraptor_options INTERFACE LORAPTOR_VERSION="${PROJECT_VERSION}")

# ATen is slow to parse (4 s a file); precompiled it costs well under a second.
add_library(loraptor_pch OBJECT "${CMAKE_SOURCE_DIR}/cmake/pch.cpp")
target_link_libraries(loraptor_pch PUBLIC loraptor_options lt::torch)
target_precompile_headers(loraptor_pch PRIVATE
  <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/autograd.h>
  <fmt/format.h> <nlohmann/json.hpp>
  <algorithm> <array> <filesystem> <functional> <map> <memory> <optional> <string> <string_view> <unordered_map> <vector>)
target_compile_options(loraptor_pch PRIVATE -fpch-preprocess)

function(_loraptor_use_pch target)
  target_link_libraries(${target} PUBLIC lt::torch)
  target_precompile_headers(${target} REUSE_FROM loraptor_pch)
  target_compile_options(${target} PRIVATE -fpch-preprocess)
endfunction()

# loraptor_library(FOLDER [NO_TORCH] SOURCES a.cpp ... LINKS loraptor_base ... lib ...)
# makes loraptor_<FOLDER> from files of src/<FOLDER>.
function(loraptor_library folder)
  cmake_parse_arguments(arg "NO_TORCH" "" "SOURCES;LINKS" ${ARGN})
  set(target loraptor_${folder})
  if(NOT arg_SOURCES)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE loraptor_options lt::torch ${arg_LINKS})
    return()
  endif()
  add_library(${target} STATIC ${arg_SOURCES})
  target_link_libraries(${target} PUBLIC loraptor_options ${arg_LINKS})
  if(NOT arg_NO_TORCH)
    _loraptor_use_pch(${target})
  endif()
endfunction()

# loraptor_hot_files(FILE ...): files of the current folder with hot loops. They go without the precompiled header, which
# has other optimisation flags.
function(loraptor_hot_files)
  set_source_files_properties(${ARGN} PROPERTIES
    SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "$<$<CONFIG:Release>:-O3>")
endfunction()

# loraptor_test(FOLDER SOURCES ... LINKS ... [LABELS unit golden ...])
# makes the GoogleTest program test_<FOLDER>. One ctest entry per label: label `golden` runs the suites named Golden*,
# `format` Format*, `resume` Resume* and so on; `unit` runs everything else.
function(loraptor_test folder)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;LABELS" ${ARGN})
  set(target test_${folder})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE loraptor_test_support loraptor_${folder} ${arg_LINKS})
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  _loraptor_use_pch(${target})
  set(special golden grad parity format options resume fault e2e)
  set(not_unit "")
  foreach(label ${special})
    string(SUBSTRING ${label} 0 1 first)
    string(SUBSTRING ${label} 1 -1 rest)
    string(TOUPPER ${first} first)
    list(APPEND not_unit "${first}${rest}*" "*/${first}${rest}*")
    set(filter_${label} "${first}${rest}*:*/${first}${rest}*")
  endforeach()
  list(JOIN not_unit ":" not_unit)
  set(filter_unit "-${not_unit}")
  foreach(label ${arg_LABELS})
    add_test(NAME ${folder}.${label} COMMAND ${target} "--gtest_filter=${filter_${label}}"
             WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${folder}.${label} PROPERTIES LABELS ${label}
      ENVIRONMENT "LORAPTOR_GOLDEN_LOG=${CMAKE_BINARY_DIR}/golden_read;LORAPTOR_PROGRAM=${CMAKE_BINARY_DIR}/loraptor")
    if(label STREQUAL "golden")
      # The numbers were recorded where MKL takes its compatible code path; its paths for Intel's processors add in
      # another order.
      set_property(TEST ${folder}.${label} APPEND PROPERTY ENVIRONMENT "MKL_CBWR=COMPATIBLE")
      set_tests_properties(${folder}.${label} PROPERTIES FIXTURES_REQUIRED golden_log)
      set(LORAPTOR_GOLDEN_TESTS ${LORAPTOR_GOLDEN_TESTS} ${folder}.${label} CACHE INTERNAL "")
    endif()
  endforeach()
endfunction()
