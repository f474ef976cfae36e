// The low-rank map of the embedding: y += sum over j < rank of (down_j . y) up_j for each row y. All float32, sums in an order
// that never changes.
//
//   down, up [rank, width], y [rows, width] in place
//   grid (rows), 256 threads: each warp takes every eighth j, then each thread every 256th column
//   shared [rank]: the products t_j = down_j . y
#include "cuda/intrinsics.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

// The same number in every lane.
SKRR_DEVICE float warp_dot(const float* a, const float* b, int width) {
  float sum = 0;
  for (int c = int(threadIdx.x) % 32; c < width; c += 32) sum += a[c] * b[c];
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  return sum;
}

__global__ void __launch_bounds__(kThreads)
    compensate_kernel(const float* down, const float* up, int rank, float* all_y, int width) {
  SKRR_SHARED_MEMORY(memory);
  float* t = reinterpret_cast<float*>(memory);
  float* y = all_y + size_t(blockIdx.x) * size_t(width);
  for (int j = int(threadIdx.x) / 32; j < rank; j += kThreads / 32) {
    const float product = warp_dot(down + size_t(j) * size_t(width), y, width);
    if (threadIdx.x % 32 == 0) t[j] = product;
  }
  __syncthreads();  // y is read by all before any of it is written
  for (int c = int(threadIdx.x); c < width; c += kThreads) {
    float sum = y[c];
    for (int j = 0; j < rank; j++) sum += t[j] * up[size_t(j) * size_t(width) + size_t(c)];
    y[c] = sum;
  }
}

}  // namespace

void compensate(Stream stream, const float* down, const float* up, int rank, float* y, int rows, int width) {
  launch(stream, compensate_kernel, dim3(unsigned(rows)), dim3(kThreads), size_t(rank) * sizeof(float), down, up, rank, y,
         width);
}

}  // namespace skrr::cuda
