// The sum of one number per thread over a block, in an order that never changes.
#pragma once

#include "cuda/intrinsics.cuh"

namespace skrr::cuda {

// Every thread gets the sum. `scratch` in shared memory holds one T per warp; it may be used again only after a barrier.
template <int kThreads, class T>
SKRR_DEVICE T block_sum(T value, T* scratch) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (int warp = 0; warp < kThreads / 32; warp++) sum += scratch[warp];
  return sum;
}

}  // namespace skrr::cuda
