// The device operations kernels are written with, in two implementations: inline PTX under nvcc, and the machine of
// test/simt under any other compiler, which is how every kernel is tested where there is no GPU.
//
// Rule for kernels: no asm, no <<<>>>, no static __shared__, no CUDA header outside this file.
#pragma once

#if !defined(__CUDACC__)
#include "test/simt/intrinsics.h"
#else

#include <cuda_runtime.h>

#include "cuda/check.cuh"
#include "cuda/types.h"

#define SKRR_DEVICE __device__ __forceinline__
#define SKRR_SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]

namespace skrr::cuda {

SKRR_DEVICE void sync_warp() { __syncwarp(); }

// --- asynchronous copies (sm_80) ---

SKRR_DEVICE uint32_t shared_address(const void* shared) { return uint32_t(__cvta_generic_to_shared(shared)); }

// 16 bytes from global to shared memory past L1, or 16 zero bytes where not `valid`. Both sides 16-byte aligned.
SKRR_DEVICE void cp_async_16(uint32_t destination, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(destination), "l"(source),
               "r"(valid ? 16 : 0)
               : "memory");
}
SKRR_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until no more than kStillInFlight of this thread's groups are in flight.
template <int kStillInFlight>
SKRR_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kStillInFlight) : "memory");
}

// --- tensor cores (sm_80) ---

// Four 8 x 8 matrices of 16-bit elements; lane 8 m + r gives the address of row r of matrix m.
SKRR_DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address)
               : "memory");
}
SKRR_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address)
               : "memory");
}
// D [16, 8] += A [16, 16] B [16, 8], bf16 operands, float32 sums.
SKRR_DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- arithmetic ---

SKRR_DEVICE uint32_t pack_bf16x2(float low, float high) {  // round to nearest, ties to even
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
SKRR_DEVICE float widen(bf16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }
SKRR_DEVICE bf16 narrow(float x) { return {uint16_t(pack_bf16x2(x, 0.0f))}; }
SKRR_DEVICE float exp2_approx(float x) {  // 2 ulp
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SKRR_DEVICE float reciprocal_approx(float x) {  // 1 ulp
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// --- 16-byte accesses ---

SKRR_DEVICE float4 load_float4(const float* p) { return *reinterpret_cast<const float4*>(p); }
SKRR_DEVICE void store_float4(float* p, const float4& v) { *reinterpret_cast<float4*>(p) = v; }

// --- launch ---

// Launches clusters of `cluster` blocks along x. Throws ERR_ENGINE when the launch is refused.
template <class... Parameters, class... Arguments>
void launch_clusters(Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, unsigned cluster,
                     size_t shared_bytes, Arguments... arguments) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               int(shared_bytes)));
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = cluster > 1 ? 1 : 0;  // before Hopper there are none
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}
template <class... Parameters, class... Arguments>
void launch(Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments... arguments) {
  launch_clusters(stream, kernel, grid, block, 1, shared_bytes, arguments...);
}

}  // namespace skrr::cuda

#endif
