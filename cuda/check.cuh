// A failed call of the CUDA runtime as our exception.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "engine/error.h"

namespace skrr::cuda {

inline void check(cudaError_t result) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // forgotten, so that the next call does not report it again
  throw Error("ERR_ENGINE", std::string("CUDA: ") + cudaGetErrorString(result) + " (" + cudaGetErrorName(result) + ")");
}

}  // namespace skrr::cuda
