// What Hopper has beyond intrinsics.cuh (sm_90a): barriers in shared memory that count arrivals and bytes, the copy engine
// (TMA), and matrix products that four warps issue together and that run beside them (wgmma).
#pragma once

#include "cuda/intrinsics.cuh"

#if !defined(__CUDACC__)
#include "test/simt/hopper_intrinsics.h"
#else

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "compile for sm_90a: no other architecture has wgmma and setmaxnreg"
#endif

#define SKRR_GRID_CONSTANT __grid_constant__

namespace skrr::cuda {

// --- mbarrier: a phase ends when all have arrived and all announced bytes are there ---

SKRR_DEVICE void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Makes this thread's initialisations visible to the other blocks of the cluster.
SKRR_DEVICE void fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
SKRR_DEVICE void mbarrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Arrives at a barrier of any block of the cluster, by cluster_address().
SKRR_DEVICE void mbarrier_arrive_cluster(uint32_t address) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address) : "memory");
}
// Arrives, and announces that many bytes of copies for this phase.
SKRR_DEVICE void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
SKRR_DEVICE bool mbarrier_try_wait(uint32_t barrier, uint32_t parity) {
  uint32_t over;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
      "selp.b32 %0, 1, 0, p;\n}"
      : "=r"(over)
      : "r"(barrier), "r"(parity)
      : "memory");
  return over != 0;
}
// Waits until the phase of this parity is over. Phases count from 0; the one before the first is over from the start.
SKRR_DEVICE void mbarrier_wait(uint32_t barrier, uint32_t parity) {
  while (!mbarrier_try_wait(barrier, parity)) {
  }
}

// --- the asynchronous proxy: the copy engine and wgmma see shared memory past the caches of ordinary accesses ---

// Makes this thread's earlier writes to shared memory (mbarrier_init among them) visible there.
SKRR_DEVICE void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Must come before the use of a map in global memory that the host has written.
SKRR_DEVICE void fence_tensor_map(const TensorMap* map) {
  asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(map) : "memory");
}

// Copies the map's box at (row, column) to shared memory, zeros where it reaches past the matrix; its bytes count at
// `barrier`. Issued by one thread.
SKRR_DEVICE void tma_load(uint32_t destination, const TensorMap* map, int row, int column, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          destination),
      "l"(map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}

// The same, to the same place in the shared memory of every block of the cluster whose bit `ranks` has; each block counts
// the bytes at its own barrier.
SKRR_DEVICE void tma_load_multicast(uint32_t destination, const TensorMap* map, int row, int column, uint32_t barrier,
                                    uint16_t ranks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, "
      "%3}], [%4], %5;" ::"r"(destination),
      "l"(map), "r"(column), "r"(row), "r"(barrier), "h"(ranks)
      : "memory");
}

// --- clusters: blocks that run together and reach each other's shared memory ---

SKRR_DEVICE int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return int(rank);
}
// Where an offset of this block's shared memory lies in that of another.
SKRR_DEVICE uint32_t cluster_address(uint32_t offset, int rank) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(offset), "r"(rank));
  return address;
}
// Waits until all threads of the cluster that have not ended are here.
SKRR_DEVICE void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// --- wgmma: by all four warps of a warpgroup ---

// Sums d belong to the tensor cores from wgmma_fence() to wgmma_wait(). Both name d, though the instructions do not, so that
// the compiler moves nothing that touches d in between.
#define SKRR_SUMS_4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define SKRR_SUMS_16(i) SKRR_SUMS_4(i), SKRR_SUMS_4(i + 1), SKRR_SUMS_4(i + 2), SKRR_SUMS_4(i + 3)
#define SKRR_SUMS_64(i) SKRR_SUMS_16(i), SKRR_SUMS_16(i + 4), SKRR_SUMS_16(i + 8), SKRR_SUMS_16(i + 12)

// Must come before the first product of a group that uses registers which other instructions have touched.
SKRR_DEVICE void wgmma_fence(float (&d)[16][4]) {
  asm volatile("wgmma.fence.sync.aligned;" : SKRR_SUMS_64(0)::"memory");
}
SKRR_DEVICE void wgmma_fence(float (&d)[32][4]) {
  asm volatile("wgmma.fence.sync.aligned;" : SKRR_SUMS_64(0), SKRR_SUMS_64(16)::"memory");
}
SKRR_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until no more than kStillInFlight of the warpgroup's groups are in flight.
template <int kStillInFlight>
SKRR_DEVICE void wgmma_wait(float (&d)[16][4]) {
  asm volatile("wgmma.wait_group.sync.aligned %64;" : SKRR_SUMS_64(0) : "n"(kStillInFlight) : "memory");
}
template <int kStillInFlight>
SKRR_DEVICE void wgmma_wait(float (&d)[32][4]) {
  asm volatile("wgmma.wait_group.sync.aligned %128;"
               : SKRR_SUMS_64(0), SKRR_SUMS_64(16)
               : "n"(kStillInFlight)
               : "memory");
}

// D [64, 8 kAcross] += A [64, 16] B [8 kAcross, 16]^T, bf16 operands in shared memory that descriptors name, float32 sums.
// d[j] of warp w is the fragment (fragment.cuh) at (16 w, 8 j).
SKRR_DEVICE void wgmma(float (&d)[16][4], uint64_t a, uint64_t b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, p, 1, 1, 0, 0;\n}"
      : SKRR_SUMS_64(0)
      : "l"(a), "l"(b));
}
SKRR_DEVICE void wgmma(float (&d)[32][4], uint64_t a, uint64_t b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
      "%128, %129, p, 1, 1, 0, 0;\n}"
      : SKRR_SUMS_64(0), SKRR_SUMS_64(16)
      : "l"(a), "l"(b));
}

#undef SKRR_SUMS_4
#undef SKRR_SUMS_16
#undef SKRR_SUMS_64

// --- registers, handed from one warpgroup to another ---

template <int kRegisters>
SKRR_DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
SKRR_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace skrr::cuda

#endif
