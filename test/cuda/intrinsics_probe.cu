// Every device operation of cuda/intrinsics.cuh that is not plain arithmetic, on given bits.
//   grid (kProbeBlocks), one warp; 1 KB shared memory: row r of 16 bytes at 16 r, lane l copies rows l and 32 + l
#include "cuda/intrinsics.cuh"
#include "test/cuda/intrinsics_probe.h"

namespace skrr::cuda {
namespace {

__global__ void __launch_bounds__(32) probe_kernel(const ProbeInput* inputs, ProbeOutput* outputs) {
  SKRR_SHARED_MEMORY(memory);
  const int lane = int(threadIdx.x);
  const ProbeInput& in = inputs[blockIdx.x * 32 + threadIdx.x];
  ProbeOutput& out = outputs[blockIdx.x * 32 + threadIdx.x];

  const uint32_t row = shared_address(memory) + uint32_t(lane * 16);
  cp_async_16(row, in.copied, (in.copied[0] & 1) != 0);
  cp_async_commit();
  cp_async_16(row + 512, in.copied + 4, true);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  uint32_t matrices[4], transposed[4];
  ldmatrix_x4(matrices, row);
  ldmatrix_x4_trans(transposed, row + 512);

  const uint32_t a[4] = {in.a[0], in.a[1], in.a[2], in.a[3]};
  float sums[4] = {in.c[0], in.c[1], in.c[2], in.c[3]};
  mma_bf16(sums, a, in.b[0], in.b[1]);
#pragma unroll
  for (int i = 0; i < 4; i++) out.matrices[i] = matrices[i], out.transposed[i] = transposed[i], out.sums[i] = sums[i];
  out.packed = pack_bf16x2(in.packed[0], in.packed[1]);
  out.power = exp2_approx(in.exponent);
  out.reciprocal = reciprocal_approx(in.divisor);
}

}  // namespace

void probe_intrinsics(Stream stream, const ProbeInput* in, ProbeOutput* out) {
  launch(stream, probe_kernel, dim3(kProbeBlocks), dim3(32), 1024, in, out);
}

}  // namespace skrr::cuda
