// RMS norm: y = h / sqrt(mean(h^2) + epsilon) * weight over each row; no mean is subtracted, there is no bias. Between
// sub-blocks it has no kernel: normed_rows.cuh. This file has both ends: before the first sub-block and after the last.
//
//   begin_rows  h [rows, padded] float32 -> what the first step that runs reads of it
//   final_norm  h, weight [padded] float32 -> y [rows, width] float32
//   grid (rows), 256 threads, four floats each at a time; pads of h, weight and x are zeros
#include "cuda/block_sum.cuh"
#include "cuda/normed_rows.cuh"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

// The norm of the first step that runs; null where none does.
SKRR_DEVICE const float* first_norm(const StepRef& at) {
  for (int s = 0; s < at.steps; s++) {
    if (at.table[s].slot >= 0) return at.slots[at.table[s].slot].norm;
  }
  return nullptr;
}

__global__ void __launch_bounds__(kThreads) begin_rows_kernel(StepRef at, const float* h, NormedRows rows, int padded) {
  const float* weight = first_norm(at);
  const size_t row = blockIdx.x;
  for (int first = 0; first < padded; first += kThreads * 4) {  // whole warps, for the sums
    const int column = first + int(threadIdx.x) * 4;
    const bool valid = column < padded;
    const float4 v = valid ? load_float4(h + row * size_t(padded) + size_t(column)) : float4{};
    store_normed(rows, weight, row, padded, column, valid, v);
  }
}

// 1 / sqrt(mean(h^2) + epsilon); columns past width hold zeros.
SKRR_DEVICE float norm_factor(const float* h, int width, int padded, float epsilon, float* scratch) {
  float squares = 0;
  for (int c = int(threadIdx.x) * 4; c < padded; c += kThreads * 4) {
    const float4 v = load_float4(h + c);
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  return 1.0f / sqrtf(block_sum<kThreads>(squares, scratch) / float(width) + epsilon);
}

__global__ void __launch_bounds__(kThreads)
    final_norm_kernel(const float* weight, const float* all_h, float* y, int width, int padded, float epsilon) {
  SKRR_SHARED_MEMORY(memory);
  const float* h = all_h + size_t(blockIdx.x) * size_t(padded);
  const float factor = norm_factor(h, width, padded, epsilon, reinterpret_cast<float*>(memory));
  for (int c = int(threadIdx.x); c < width; c += kThreads) {
    y[size_t(blockIdx.x) * size_t(width) + size_t(c)] = h[c] * factor * weight[c];
  }
}

}  // namespace

void begin_rows(Stream stream, StepRef at, const float* h, const NormedRows& rows, int count, int padded) {
  launch(stream, begin_rows_kernel, dim3(unsigned(count)), dim3(kThreads), 0, at, h, rows, padded);
}

void final_norm(Stream stream, const float* weight, const float* h, float* y, int rows, int width, int padded,
                float epsilon) {
  launch(stream, final_norm_kernel, dim3(unsigned(rows)), dim3(kThreads), kThreads / 32 * sizeof(float), weight, h, y,
         width, padded, epsilon);
}

}  // namespace skrr::cuda
