// What a search needs to measure D: projected features, and how far two of them are apart. In float32 and double, since they
// are part of the measure, not of the model.
//
//   project       y [rows, out] = x [rows, in] W^T + b, W [out, in], then GELU(tanh) where asked; float32
//                 grid (rows / 64, out / 64), 256 threads with 4 x 4 results each; 16 columns of K at a time
//   compare_rows  sums [rows, 4] = sum (a - b)^2, a b, a^2, b^2 over a row; double, in an order that never changes
//                 grid (rows), 128 threads
#include "cuda/block_sum.cuh"
#include "cuda/intrinsics.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kProjectThreads = 256;
constexpr int kPitch = kTile + 1;  // of a transposed tile in shared memory: columns fall on different banks

// shared [kDepth][kPitch] = rows [first, first + kTile) of m, columns from k on, transposed; zeros outside.
SKRR_DEVICE void load_transposed(float* shared, const float* m, int first, int rows, int k, int columns) {
  for (int i = int(threadIdx.x); i < kTile * kDepth; i += kProjectThreads) {
    const int row = i / kDepth, column = i % kDepth;
    const bool valid = first + row < rows && k + column < columns;
    shared[column * kPitch + row] = valid ? m[size_t(first + row) * size_t(columns) + size_t(k + column)] : 0.0f;
  }
}

SKRR_DEVICE float exact_gelu_tanh(float x) {
  return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

__global__ void __launch_bounds__(kProjectThreads)
    project_kernel(const float* x, const float* weight, const float* bias, float* y, int rows, int in, int out, bool gelu) {
  SKRR_SHARED_MEMORY(memory);
  float* x_tile = reinterpret_cast<float*>(memory);
  float* w_tile = x_tile + kDepth * kPitch;
  const int first_row = int(blockIdx.x) * kTile, first_column = int(blockIdx.y) * kTile;
  const int down = int(threadIdx.x) / 16, across = int(threadIdx.x) % 16;
  float sums[4][4] = {};
  for (int k = 0; k < in; k += kDepth) {
    load_transposed(x_tile, x, first_row, rows, k, in);
    load_transposed(w_tile, weight, first_column, out, k, in);
    __syncthreads();
    for (int d = 0; d < kDepth; d++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
          sums[i][j] += x_tile[d * kPitch + down + i * 16] * w_tile[d * kPitch + across + j * 16];
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int row = first_row + down + i * 16, column = first_column + across + j * 16;
      if (row >= rows || column >= out) continue;
      const float value = sums[i][j] + bias[column];
      y[size_t(row) * size_t(out) + size_t(column)] = gelu ? exact_gelu_tanh(value) : value;
    }
  }
}

constexpr int kCompareThreads = 128;

__global__ void __launch_bounds__(kCompareThreads)
    compare_kernel(const float* a, const float* b, double* sums, int width, int stride) {
  SKRR_SHARED_MEMORY(memory);
  double* scratch = reinterpret_cast<double*>(memory);
  const size_t first = size_t(blockIdx.x) * size_t(stride);
  double own[4] = {};
  for (int c = int(threadIdx.x); c < width; c += kCompareThreads) {
    const double x = double(a[first + size_t(c)]), y = double(b[first + size_t(c)]);
    own[0] += (x - y) * (x - y), own[1] += x * y, own[2] += x * x, own[3] += y * y;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const double sum = block_sum<kCompareThreads>(own[i], scratch + i * (kCompareThreads / 32));
    if (threadIdx.x == 0) sums[size_t(blockIdx.x) * 4 + size_t(i)] = sum;
  }
}

}  // namespace

void project(Stream stream, const float* x, const float* weight, const float* bias, float* y, int rows, int in, int out,
             bool gelu) {
  const dim3 grid(unsigned((rows + kTile - 1) / kTile), unsigned((out + kTile - 1) / kTile));
  launch(stream, project_kernel, grid, dim3(kProjectThreads), 2 * kDepth * kPitch * sizeof(float), x, weight, bias, y,
         rows, in, out, gelu);
}

void compare_rows(Stream stream, const float* a, const float* b, double* sums, int rows, int width, int stride) {
  launch(stream, compare_kernel, dim3(unsigned(rows)), dim3(kCompareThreads), 4 * (kCompareThreads / 32) * sizeof(double),
         a, b, sums, width, stride);
}

}  // namespace skrr::cuda
