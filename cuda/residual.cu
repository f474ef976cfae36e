// h += scale * (p_0 + p_1 + ...): adds the parts of a product whose K was split, always in the same order.
//
//   partials [splits, rows, padded] float32, h [rows, padded] float32
//   grid (rows x padded / 1024), 256 threads, four floats each
#include "cuda/intrinsics.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    add_partials_kernel(StepRef at, const float* partials, int splits, float* h, size_t size) {
  const Step step = at.table[at.step];
  if (step.slot < 0) return;
  const size_t i = (size_t(blockIdx.x) * kThreads + threadIdx.x) * 4;
  if (i >= size) return;
  float4 sum = load_float4(partials + i);
  for (int s = 1; s < splits; s++) {
    const float4 part = load_float4(partials + size_t(s) * size + i);
    sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
  }
  h[i] += step.scale * sum.x;
  h[i + 1] += step.scale * sum.y;
  h[i + 2] += step.scale * sum.z;
  h[i + 3] += step.scale * sum.w;
}

}  // namespace

void add_partials(Stream stream, StepRef at, const float* partials, int splits, float* h, int rows, int padded) {
  const size_t size = size_t(rows) * size_t(padded);
  const size_t blocks = (size + kThreads * 4 - 1) / (kThreads * 4);
  launch(stream, add_partials_kernel, dim3(unsigned(blocks)), dim3(kThreads), 0, at, partials, splits, h, size);
}

}  // namespace skrr::cuda
