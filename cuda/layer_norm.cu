// LayerNorm: y = (h - mean) / sqrt(variance + epsilon) * weight + bias over each row. A pass of its own, unlike the RMS norm
// (normed_rows.cuh): where the mean is large, products of rows without it would cancel.
//
//   layer_norm        h [rows, padded] float32 -> x [rows, padded] bf16, what the step that runs multiplies
//   final_layer_norm  h -> y [rows, width] float32
//   grid (rows), 256 threads; pads of h, weight and bias are zeros, and so are those of x
#include "cuda/block_sum.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr size_t kSharedBytes = 2 * kWarps * sizeof(float);

struct Moments {
  float mean, factor;
};

SKRR_DEVICE Moments moments(const float* h, int width, float epsilon, float* scratch) {
  float sum = 0, squares = 0;
  for (int c = int(threadIdx.x); c < width; c += kThreads) sum += h[c];
  const float mean = block_sum<kThreads>(sum, scratch) / float(width);
  for (int c = int(threadIdx.x); c < width; c += kThreads) squares += (h[c] - mean) * (h[c] - mean);
  return {mean, 1.0f / sqrtf(block_sum<kThreads>(squares, scratch + kWarps) / float(width) + epsilon)};
}

__global__ void __launch_bounds__(kThreads)
    layer_norm_kernel(StepRef at, const float* all_h, bf16* x, int width, int padded, float epsilon) {
  SKRR_SHARED_MEMORY(memory);
  const Step step = at.table[at.step];
  if (step.slot < 0) return;
  const Slot& slot = at.slots[step.slot];
  const size_t first = size_t(blockIdx.x) * size_t(padded);
  const float* h = all_h + first;
  const Moments m = moments(h, width, epsilon, reinterpret_cast<float*>(memory));
  for (int c = int(threadIdx.x) * 2; c < padded; c += kThreads * 2) {
    const float2 v = *reinterpret_cast<const float2*>(h + c), w = *reinterpret_cast<const float2*>(slot.norm + c),
                 b = *reinterpret_cast<const float2*>(slot.norm_bias + c);
    *reinterpret_cast<uint32_t*>(x + first + size_t(c)) =
        pack_bf16x2(fmaf((v.x - m.mean) * m.factor, w.x, b.x), fmaf((v.y - m.mean) * m.factor, w.y, b.y));
  }
}

__global__ void __launch_bounds__(kThreads) final_layer_norm_kernel(const float* weight, const float* bias, const float* all_h,
                                                                    float* y, int width, int padded, float epsilon) {
  SKRR_SHARED_MEMORY(memory);
  const float* h = all_h + size_t(blockIdx.x) * size_t(padded);
  const Moments m = moments(h, width, epsilon, reinterpret_cast<float*>(memory));
  for (int c = int(threadIdx.x); c < width; c += kThreads) {
    y[size_t(blockIdx.x) * size_t(width) + size_t(c)] = fmaf((h[c] - m.mean) * m.factor, weight[c], bias[c]);
  }
}

}  // namespace

void layer_norm(Stream stream, StepRef at, const float* h, bf16* x, int rows, int width, int padded, float epsilon) {
  launch(stream, layer_norm_kernel, dim3(unsigned(rows)), dim3(kThreads), kSharedBytes, at, h, x, width, padded, epsilon);
}

void final_layer_norm(Stream stream, const float* weight, const float* bias, const float* h, float* y, int rows, int width,
                      int padded, float epsilon) {
  launch(stream, final_layer_norm_kernel, dim3(unsigned(rows)), dim3(kThreads), kSharedBytes, weight, bias, h, y, width, padded,
         epsilon);
}

}  // namespace skrr::cuda
