// Types host and device code of the CUDA backend share. No CUDA header is needed to read them.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define SKRR_HOST_DEVICE __host__ __device__
#else
#define SKRR_HOST_DEVICE
#endif

struct CUstream_st;

namespace skrr::cuda {

using Stream = CUstream_st*;  // the CUDA runtime's cudaStream_t

struct bf16 {
  uint16_t bits;
};

// A matrix as Hopper's copy engine knows it, the driver's CUtensorMap: what lies where, and in which boxes it is copied.
struct alignas(128) TensorMap {
  uint64_t opaque[16];
};

}  // namespace skrr::cuda
