// h += scale * y, y = p_0 + p_1 + ... + bias: adds the parts of a product whose K was split, always in the same order, and
// writes what the next step reads of h (normed_rows.cuh). With a post-norm, y / sqrt(mean(y^2) + epsilon) * weight stands in y's
// place.
//
//   partials [splits, rows, padded] float32, h [rows, padded] float32
//   add_partials  grid (rows, padded / 1024), 256 threads, four floats each
//   add_normed    grid (rows), 256 threads, four floats each at a time; y waits in the first split's place
#include "cuda/block_sum.cuh"
#include "cuda/normed_rows.cuh"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

// Four columns of the product, with their bias.
SKRR_DEVICE float4 summed(const float* partials, int splits, size_t size, size_t i, const float* bias, int column) {
  float4 sum = load_float4(partials + i);
  for (int s = 1; s < splits; s++) {
    const float4 part = load_float4(partials + size_t(s) * size + i);
    sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
  }
  if (!bias) return sum;
  const float4 b = load_float4(bias + column);
  return {sum.x + b.x, sum.y + b.y, sum.z + b.z, sum.w + b.w};
}

// Four columns of h, after this step.
SKRR_DEVICE float4 added(const float4& old, float scale, const float4& sum) {
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
    sum = added(load_float4(h + i), step.scale, summed(partials, splits, size, i, at.slots[step.slot].out_bias, column));
    store_float4(h + i, sum);
  }
  store_normed(next, next_norm(at, step), row, padded, column, valid, sum);
}

__global__ void __launch_bounds__(kThreads)
    add_normed_kernel(StepRef at, float* partials, int splits, float* h, NormedRows next, int width, int padded) {
  SKRR_SHARED_MEMORY(memory);
  const Step step = at.table[at.step];
  if (step.slot < 0) return;
  const Slot& slot = at.slots[step.slot];
  const size_t row = blockIdx.x, size = size_t(gridDim.x) * size_t(padded), first = row * size_t(padded);
  float squares = 0;  // pads are zeros
  for (int column = int(threadIdx.x) * 4; column < padded; column += kThreads * 4) {
    const float4 y = summed(partials, splits, size, first + size_t(column), slot.out_bias, column);
    store_float4(partials + first + size_t(column), y);
    squares += y.x * y.x + y.y * y.y + y.z * y.z + y.w * y.w;
  }
  const float mean = block_sum<kThreads>(squares, reinterpret_cast<float*>(memory)) / float(width);
  const float factor = step.scale * (1.0f / sqrtf(mean + slot.post_epsilon));
  for (int begin = 0; begin < padded; begin += kThreads * 4) {  // whole warps, for the sums
    const int column = begin + int(threadIdx.x) * 4;
    const bool valid = column < padded;
    float4 sum{};
    if (valid) {
      const float4 y = load_float4(partials + first + size_t(column)), w = load_float4(slot.post_norm + column);
      sum = added(load_float4(h + first + size_t(column)), factor, {y.x * w.x, y.y * w.y, y.z * w.z, y.w * w.w});
      store_float4(h + first + size_t(column), sum);
    }
    store_normed(next, next_norm(at, step), row, padded, column, valid, sum);
  }
}

}  // namespace

void add_partials(Stream stream, StepRef at, const float* partials, int splits, float* h, const NormedRows& next, int rows,
                  int padded) {
  const dim3 grid(unsigned(rows), unsigned((padded + kThreads * 4 - 1) / (kThreads * 4)));
  launch(stream, add_partials_kernel, grid, dim3(kThreads), 0, at, partials, splits, h, next, padded);
}

void add_normed(Stream stream, StepRef at, float* partials, int splits, float* h, const NormedRows& next, int rows, int width,
                int padded) {
  launch(stream, add_normed_kernel, dim3(unsigned(rows)), dim3(kThreads), kThreads / 32 * sizeof(float), at, partials, splits, h,
         next, width, padded);
}

}  // namespace skrr::cuda
