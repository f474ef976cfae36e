// The CUDA backend is a shared library of its own, so that one build runs on machines with and without a GPU. It is found
// beside the module this code is in (the .node file, or a test) and loaded when a device is asked for.
#pragma once

#include <memory>
#include <string>

#include "engine/device.h"

namespace skrr {

// Both sides must be of one build: C++ objects and exceptions cross between them.
constexpr const char* kCudaInterface = "skrr cuda 6, g++ " __VERSION__;

// What the library exports, under these names.
struct CudaExports {
  const char* (*skrr_cuda_interface)();
  Device* (*skrr_cuda_device)(int index);  // the caller owns it; throws ERR_DEVICE where there is no such device
};

// Where the library is expected: skrr_cuda.so beside this module, or what SKRR_CUDA_LIBRARY names.
std::string cuda_library_path();

// Opens a device of the library at `path`, which stays loaded. Loading a damaged library can end the process (src/native/probe.ts
// tries it in another one first). Throws ERR_DEVICE: no library, a damaged one, one of another build, no such device.
std::unique_ptr<Device> cuda_device(const std::string& path, int index);

}  // namespace skrr
