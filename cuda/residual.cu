// h += scale * (p_0 + p_1 + ...): adds the parts of a product whose K was split, always in the same order, and writes what
// the next step reads of h (normed_rows.cuh).
//
//   partials [splits, rows, padded] float32, h [rows, padded] float32
//   grid (rows, padded / 1024), 256 threads, four floats each
#include "cuda/normed_rows.cuh"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

// Four columns of h, after this step.
SKRR_DEVICE float4 added(const float* partials, int splits, size_t size, size_t i, float scale, const float* h) {
  float4 sum = load_float4(partials + i);
  for (int s = 1; s < splits; s++) {
    const float4 part = load_float4(partials + size_t(s) * size + i);
    sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
  }
  const float4 old = load_float4(h + i);
  return {old.x + scale * sum.x, old.y + scale * sum.y, old.z + scale * sum.z, old.w + scale * sum.w};
}

__global__ void __launch_bounds__(kThreads)
    add_partials_kernel(StepRef at, const float* partials, int splits, float* h, NormedRows next, int padded) {
  const Step step = at.table[at.step];
  if (step.slot < 0) return;
  const size_t row = blockIdx.x, size = size_t(gridDim.x) * size_t(padded);
  const int column = (int(blockIdx.y) * kThreads + int(threadIdx.x)) * 4;
  const bool valid = column < padded;
  float4 sum{};
  if (valid) {
    const size_t i = row * size_t(padded) + size_t(column);
    sum = added(partials, splits, size, i, step.scale, h);
    store_float4(h + i, sum);
  }
  store_normed(next, next_norm(at, step), row, padded, column, valid, sum);
}

}  // namespace

void add_partials(Stream stream, StepRef at, const float* partials, int splits, float* h, const NormedRows& next, int rows,
                  int padded) {
  const dim3 grid(unsigned(rows), unsigned((padded + kThreads * 4 - 1) / (kThreads * 4)));
  launch(stream, add_partials_kernel, grid, dim3(kThreads), 0, at, partials, splits, h, next, padded);
}

}  // namespace skrr::cuda
