// What skrr_cuda.so exports (engine/cuda_library.h).
#include "cuda/device.h"
#include "engine/cuda_library.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* skrr_cuda_interface() { return skrr::kCudaInterface; }

EXPORTED skrr::Device* skrr_cuda_device(int index) { return skrr::cuda::make_device(index).release(); }
