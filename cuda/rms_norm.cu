// T5LayerNorm: y = h / sqrt(mean(h^2) + epsilon) * weight over each row; no mean is subtracted, there is no bias.
//
//   in   h [rows, padded] float32, weight [padded] float32
//   out  [rows, padded] bf16, operand of the next product; or, final norm, [rows, width] float32
//   grid (rows), 256 threads, four floats each at a time; columns from width on become zeros
//
// Reads a row twice, the second time from L1: 12 bytes a value of memory traffic at most.
#include "cuda/block_sum.cuh"
#include "cuda/intrinsics.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256;

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
    rms_norm_kernel(StepRef at, const float* all_h, bf16* x, int width, int padded, float epsilon) {
  SKRR_SHARED_MEMORY(memory);
  const int slot = at.table[at.step].slot;
  if (slot < 0) return;
  const float* weight = at.slots[slot].norm;
  const float* h = all_h + size_t(blockIdx.x) * size_t(padded);
  const float factor = norm_factor(h, width, padded, epsilon, reinterpret_cast<float*>(memory));
  for (int c = int(threadIdx.x) * 4; c < padded; c += kThreads * 4) {
    const float4 v = load_float4(h + c), w = load_float4(weight + c);
    uint32_t* out = reinterpret_cast<uint32_t*>(x + size_t(blockIdx.x) * size_t(padded) + c);
    out[0] = pack_bf16x2(v.x * factor * w.x, v.y * factor * w.y);
    out[1] = pack_bf16x2(v.z * factor * w.z, v.w * factor * w.w);
  }
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

constexpr size_t kScratchBytes = kThreads / 32 * sizeof(float);

}  // namespace

void rms_norm(Stream stream, StepRef at, const float* h, bf16* x, int rows, int width, int padded, float epsilon) {
  launch(stream, rms_norm_kernel, dim3(unsigned(rows)), dim3(kThreads), kScratchBytes, at, h, x, width, padded, epsilon);
}

void final_norm(Stream stream, const float* weight, const float* h, float* y, int rows, int width, int padded,
                float epsilon) {
  launch(stream, final_norm_kernel, dim3(unsigned(rows)), dim3(kThreads), kScratchBytes, weight, h, y, width, padded,
         epsilon);
}

}  // namespace skrr::cuda
