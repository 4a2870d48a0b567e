# The CUDA backend (kernels/cuda) in one of three forms: docs/gpu.md.
set(UHD_CUDA off CACHE STRING "CUDA backend: off, emulated (the same sources on the host, for tests), native (nvcc)")
set_property(CACHE UHD_CUDA PROPERTY STRINGS off emulated native)
if(UHD_CUDA STREQUAL off)
  return()
endif()
if(NOT UHD_CUDA MATCHES "^(emulated|native)$")
  message(FATAL_ERROR "UHD_CUDA is \"${UHD_CUDA}\", but must be off, emulated or native")
endif()

set(uhd_cuda_places ${CUDAToolkit_ROOT} $ENV{CUDAToolkit_ROOT} $ENV{CUDA_PATH} /usr/local/cuda
  ${PROJECT_SOURCE_DIR}/build/cuda-toolkit)  # scripts/cuda-toolkit
find_path(UHD_CUDA_INCLUDE cuda_runtime.h HINTS ${uhd_cuda_places} PATH_SUFFIXES include targets/x86_64-linux/include)
find_program(UHD_NVCC nvcc HINTS ${uhd_cuda_places} PATH_SUFFIXES bin)
if(NOT UHD_CUDA_INCLUDE OR (UHD_CUDA STREQUAL native AND NOT UHD_NVCC))
  message(FATAL_ERROR "UHD_CUDA=${UHD_CUDA} needs NVIDIA's CUDA toolkit, 13.0 or later, and it was not found. Install it "
    "and say where with -DCUDAToolkit_ROOT=<folder>; scripts/cuda-toolkit brings it without a driver. "
    "UHD_CUDA=off builds without it.")
endif()

# FlashInfer's headers (scripts/flashinfer) where they are asked for or at hand; in emulation a stand-in, always.
option(UHD_FLASHINFER "CUDA backend: with FlashInfer's attention, for backend.attention=flashinfer" OFF)
find_path(UHD_FLASHINFER_HEADERS flashinfer/attention/prefill.cuh HINTS ${FLASHINFER_ROOT} ${PROJECT_SOURCE_DIR}/build/flashinfer
  PATH_SUFFIXES include flashinfer/data/include)
if(UHD_CUDA STREQUAL emulated)
  set(UHD_FLASHINFER_INCLUDE ${PROJECT_SOURCE_DIR}/emulation/flashinfer_standin)
elseif(NOT UHD_FLASHINFER)
  set(UHD_FLASHINFER_INCLUDE "")
elseif(NOT UHD_FLASHINFER_HEADERS)
  message(FATAL_ERROR "UHD_FLASHINFER=ON needs FlashInfer's headers, and they were not found: scripts/flashinfer brings them, "
    "or say where they are with -DFLASHINFER_ROOT=<folder>.")
else()
  set(UHD_FLASHINFER_INCLUDE ${UHD_FLASHINFER_HEADERS})
endif()

if(UHD_CUDA STREQUAL native)
  set(CMAKE_CUDA_COMPILER ${UHD_NVCC})
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;89-real;90-real;100")
  endif()
  if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  # What CMake 3.25 does not know of this compiler yet; its targets take the standard of C++.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)  # Debian's CMake 3.25 takes it for given; the toolkit no longer has it
  find_package(CUDAToolkit REQUIRED)
endif()

# uhd_cuda_options(target): how sources of the backend are built, kernels (.cu) and host code alike.
function(uhd_cuda_options target)
  target_include_directories(${target} SYSTEM PUBLIC ${UHD_CUDA_INCLUDE})
  if(UHD_CUDA STREQUAL emulated)
    uhd_options(${target})
    target_compile_options(${target} PRIVATE -Wno-unknown-pragmas)  # #pragma unroll is for nvcc
    get_target_property(sources ${target} SOURCES)
    list(FILTER sources INCLUDE REGEX "\\.cu$")
    set_source_files_properties(${sources} PROPERTIES LANGUAGE CXX)
    if(uhd_asan_by_clang)  # else each of a kernel's threads has a second stack, which makes it nearly twice as slow
      set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -fsanitize-address-use-after-return=never)
    endif()
  else()
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wno-missing-field-initializers;-Werror>
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers>)
  endif()
endfunction()
