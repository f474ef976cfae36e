// One kernel of Hopper's instructions, and the bugs it may have, for the machine's own tests.
#include "cuda/hopper_intrinsics.cuh"
#include "cuda/tensor_map.h"
#include "test/simt/planted_hopper.h"

namespace planted {
namespace {

using namespace skrr::cuda;

constexpr int kSteps = 2;  // of 64 along K, through one stage
constexpr uint32_t kFull = 3 * kBoxBytes, kEmpty = kFull + 8;
constexpr size_t kSharedBytes = 3 * kBoxBytes + 16;  // a box of X, two of W

SKRR_DEVICE void produce(HopperBug bug, uint32_t shared, const TensorMap* x, const TensorMap* w) {
  if (bug != HopperBug::kMapNotFenced) fence_tensor_map(x);
  fence_tensor_map(w);
  for (int step = 0; step < kSteps; step++) {
    if (bug != HopperBug::kStageNotFree) mbarrier_wait(shared + kEmpty, uint32_t(step + 1) % 2);
    const int boxes = bug == HopperBug::kTooFewBytes ? 2 : bug == HopperBug::kTooManyBytes ? 4 : 3;
    mbarrier_arrive_expect(shared + kFull, uint32_t(boxes * kBoxBytes));
    const uint32_t shift = bug == HopperBug::kBoxMisaligned ? 128 : 0;
    tma_load(shared + shift, x, 0, step * kBoxColumns, shared + kFull);
    tma_load(shared + kBoxBytes, w, 0, step * kBoxColumns, shared + kFull);
    tma_load(shared + 2 * kBoxBytes, w, kBoxRows, step * kBoxColumns, shared + kFull);
  }
}

SKRR_DEVICE uint64_t descriptor(uint32_t shared) {
  return uint64_t(shared >> 4) | uint64_t(1) << 16 | uint64_t(64) << 32 | uint64_t(1) << 62;
}

SKRR_DEVICE void multiply(HopperBug bug, uint32_t shared, float (&sums)[16][4]) {
  uint64_t x = descriptor(shared), w = descriptor(shared + kBoxBytes);
  if (bug == HopperBug::kDescriptorsDiffer) x += threadIdx.x == 77 ? 2 : 0;
  if (bug == HopperBug::kUnknownSwizzle) x ^= uint64_t(3) << 62;
  for (int step = 0; step < kSteps; step++) {
    const uint32_t parity = uint32_t(step) + (bug == HopperBug::kWrongParity ? 1 : 0);
    if (bug != HopperBug::kCopyNotWaited) mbarrier_wait(shared + kFull, parity % 2);
    if (bug != HopperBug::kNoFenceBeforeProducts) wgmma_fence(sums);
    for (uint64_t k = 0; k < 4; k++) wgmma(sums, x + k * 2, w + k * 2);
    wgmma_commit();
    if (bug == HopperBug::kSumsReadTooSoon) sums[3][1] += 1;
    if (bug == HopperBug::kReleasedTooSoon) mbarrier_arrive(shared + kEmpty);
    if (bug != HopperBug::kSumsNeverWaitedFor) wgmma_wait<0>(sums);
    if (bug != HopperBug::kReleasedTooSoon && bug != HopperBug::kNeverReleased) mbarrier_arrive(shared + kEmpty);
  }
}

SKRR_DEVICE void consume(HopperBug bug, unsigned char* memory, float* out) {
  const int thread = int(threadIdx.x);
  float sums[16][4] = {};
  if (bug == HopperBug::kHalfAWarpgroup && thread >= 64) return;
  multiply(bug, shared_address(memory), sums);
  if (bug == HopperBug::kSumsNeverWaitedFor) return;
  if (bug == HopperBug::kStoredWithoutFence) {
    reinterpret_cast<uint32_t*>(memory)[thread] = 0;
    sync_warp();
    wgmma_fence(sums);
    wgmma(sums, descriptor(shared_address(memory)), descriptor(shared_address(memory) + kBoxBytes));
    wgmma_commit();
    wgmma_wait<0>(sums);
  }
  for (int j = 0; j < 16; j++) {
    for (int e = 0; e < 4; e++) {
      const int row = thread / 32 * 16 + thread % 32 / 4 + e / 2 * 8, column = j * 8 + thread % 4 * 2 + e % 2;
      out[row * 128 + column] = sums[j][e];
    }
  }
}

// Warps 0 to 3 multiply what a thread of warp 4 has copied; the other warps only hold registers.
__global__ void hopper_product(HopperBug bug, const TensorMap* x, const TensorMap* w, float* out) {
  SKRR_SHARED_MEMORY(memory);
  const uint32_t shared = shared_address(memory);
  if (threadIdx.x == 0) {
    mbarrier_init(shared + kFull, 1);
    mbarrier_init(shared + kEmpty, 128);
    if (bug != HopperBug::kBarriersNotFenced) fence_async_proxy();
  }
  if (bug != HopperBug::kBarriersNotMet) __syncthreads();
  if (threadIdx.x / 128 == 0) {
    if (bug == HopperBug::kTooManyRegisters) take_registers<232>();  // and nobody gives any
    consume(bug, memory, out);
  } else if (threadIdx.x == 128) {
    produce(bug, shared, x, w);
  }
}

__global__ void hopper_share(HopperBug bug, const TensorMap* w, float* out) {
  SKRR_SHARED_MEMORY(memory);
  const uint32_t shared = shared_address(memory), full = shared + 2 * kBoxBytes;
  const int thread = int(threadIdx.x), rank = cluster_rank();
  if (thread == 0) {
    mbarrier_init(full, 1);
    if (bug != HopperBug::kBarrierNotFencedForCluster) fence_mbarrier_init();
    fence_async_proxy();
  }
  if (bug == HopperBug::kClusterNotMet) {
    __syncthreads();
  } else {
    cluster_sync();
  }
  if (thread == 0) {
    fence_tensor_map(w);
    mbarrier_arrive_expect(full, uint32_t((bug == HopperBug::kHalfNotWaited ? 1 : 2) * kBoxBytes));
    const uint16_t ranks = bug == HopperBug::kCopyToNoBlock ? 4 : 3;
    tma_load_multicast(shared + uint32_t(rank * kBoxBytes), w, rank * kBoxRows, 0, full, ranks);
  }
  if (bug == HopperBug::kBlockEndsTooSoon && rank == 0) return;
  mbarrier_wait(full, 0);
  for (int column = 0; column < 64; column++) {
    const int chunk = column / 8 ^ thread % 8;
    const uint16_t bits = reinterpret_cast<const uint16_t*>(memory)[thread * 64 + chunk * 8 + column % 8];
    out[(rank * 128 + thread) * 64 + column] = skrr::from_bf16(bits);
  }
}

}  // namespace

void share(HopperBug bug, const TensorMap* w, float* out) {
  launch_clusters(nullptr, hopper_share, 2, 128, 2, 2 * kBoxBytes + 8, bug, w, out);
}

void run(HopperBug bug, const TensorMap* x, const TensorMap* w, float* out) {
  launch(nullptr, hopper_product, 1, 384, kSharedBytes, bug, x, w, out);
}

}  // namespace planted
