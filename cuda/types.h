// Types host and device code of the CUDA backend share. No CUDA header is needed to read them.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace skrr::cuda {

using Stream = CUstream_st*;  // the CUDA runtime's cudaStream_t

struct bf16 {
  uint16_t bits;
};

}  // namespace skrr::cuda
