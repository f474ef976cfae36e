// A kernel that needs more registers than it may have: 64 sums at once with 32 registers.
extern "C" __global__ void __launch_bounds__(1024, 2) spilling_kernel(const float* x, float* y) {
  float sums[64];
#pragma unroll
  for (int i = 0; i < 64; i++) sums[i] = x[threadIdx.x + i * 1024];
  for (int step = 1; step < 9; step++) {
#pragma unroll
    for (int i = 0; i < 64; i++) sums[i] = sums[i] * sums[(i + 1) % 64] + float(step);
  }
#pragma unroll
  for (int i = 0; i < 64; i++) y[threadIdx.x + i * 1024] = sums[i];
}
