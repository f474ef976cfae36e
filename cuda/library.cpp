// What skrr_cuda.so exports (engine/cuda_library.h).
#include "cuda/bench.h"
#include "cuda/cuda_backend.h"
#include "engine/cuda_library.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* skrr_cuda_interface() { return skrr::kCudaInterface; }

EXPORTED void skrr_cuda_describe(int device, std::string& name) { name = skrr::cuda::device_facts(device).name; }

EXPORTED void skrr_cuda_product_paths(int device, std::vector<std::string>& paths) {
  paths = {"mma"};
  if (skrr::cuda::device_facts(device).hopper) paths.push_back("hopper");
}

EXPORTED void skrr_cuda_estimate(int device, const skrr::Geometry& geometry, const std::vector<int>& sub_blocks, int rank,
                                 int tokens, int longest, skrr::Estimate& result) {
  result = skrr::cuda::estimate(skrr::cuda::device_facts(device), geometry, sub_blocks, rank, tokens, longest);
}

EXPORTED void skrr_cuda_bench(int device, const skrr::Geometry& geometry, const skrr::bench::Request& request,
                              const skrr::bench::BackendBench::Progress& progress, const skrr::CancelFlag& cancel,
                              skrr::bench::Report& report) {
  report = skrr::cuda::run_bench(device, geometry, request, progress, cancel);
}

EXPORTED skrr::Backend* skrr_cuda_open(const skrr::Geometry& geometry, const skrr::FixedTensors& fixed, int device) {
  return new skrr::cuda::CudaBackend(geometry, fixed, skrr::cuda::Options{device});
}
