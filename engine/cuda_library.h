// The CUDA backend is a shared library of its own, so that one build runs on machines with and without a GPU. It is found
// beside the module this code is in (the .node file, or a test) and loaded when a device is asked for.
#pragma once

#include <memory>
#include <string>

#include "engine/backend.h"

namespace skrr {

// Both sides must be of one build: C++ objects and exceptions cross between them.
constexpr const char* kCudaInterface = "skrr cuda 1, g++ " __VERSION__;

// What the library exports, under these names.
struct CudaExports {
  const char* (*skrr_cuda_interface)();
  Backend* (*skrr_cuda_open)(const Geometry& geometry, const FixedTensors& fixed, int device);
};

// Where the library is expected: skrr_cuda.so beside this module, or what SKRR_CUDA_LIBRARY names.
std::string cuda_library_path();

// Throws ERR_DEVICE: no library, a damaged one or one of another build, or what the library says of the device.
std::unique_ptr<Backend> open_cuda_backend(const std::string& library, const Geometry& geometry,
                                           const FixedTensors& fixed, int device);

}  // namespace skrr
