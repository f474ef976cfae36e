// The CUDA backend is a shared library of its own, so that one build runs on machines with and without a GPU. It is found
// beside the module this code is in (the .node file, or a test) and loaded when a device is asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/bench.h"

namespace skrr {

// Both sides must be of one build: C++ objects and exceptions cross between them.
constexpr const char* kCudaInterface = "skrr cuda 5, g++ " __VERSION__;

// What the library exports, under these names. All but the first throw ERR_DEVICE where there is no such device.
struct CudaExports {
  const char* (*skrr_cuda_interface)();
  void (*skrr_cuda_describe)(int device, std::string& name);
  void (*skrr_cuda_product_paths)(int device, std::vector<std::string>& paths);
  void (*skrr_cuda_estimate)(int device, const Geometry& geometry, const std::vector<int>& sub_blocks, int rank, int tokens,
                             int longest, Estimate& result);
  void (*skrr_cuda_bench)(int device, const Geometry& geometry, const bench::Request& request,
                          const bench::BackendBench::Progress& progress, const CancelFlag& cancel, bench::Report& report);
  Backend* (*skrr_cuda_open)(const Geometry& geometry, const FixedTensors& fixed, int device);
};

// Where the library is expected: skrr_cuda.so beside this module, or what SKRR_CUDA_LIBRARY names.
std::string cuda_library_path();

// The library, loaded. Loading one that is damaged can end the process (src/native/probe.ts asks another one first).
class CudaLibrary {
 public:
  explicit CudaLibrary(const std::string& path);  // throws ERR_DEVICE: none, a damaged one, one of another build

  std::string device_name(int device) const;
  std::vector<std::string> product_paths(int device) const;  // values of SKRR_CUDA_GEMM that the device has kernels for
  Estimate estimate(int device, const Geometry& geometry, const std::vector<int>& sub_blocks, int rank, int tokens,
                    int longest) const;
  bench::Report bench(int device, const Geometry& geometry, const bench::Request& request,
                      const bench::BackendBench::Progress& progress, const CancelFlag& cancel) const;
  std::unique_ptr<Backend> open(int device, const Geometry& geometry, const FixedTensors& fixed) const;

 private:
  CudaExports exports_;
};

}  // namespace skrr
