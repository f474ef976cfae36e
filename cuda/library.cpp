// What skrr_cuda.so exports (engine/cuda_library.h).
#include "cuda/cuda_backend.h"
#include "engine/cuda_library.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* skrr_cuda_interface() { return skrr::kCudaInterface; }

EXPORTED skrr::Backend* skrr_cuda_open(const skrr::Geometry& geometry, const skrr::FixedTensors& fixed, int device) {
  return new skrr::cuda::CudaBackend(geometry, fixed, skrr::cuda::Options{device});
}
