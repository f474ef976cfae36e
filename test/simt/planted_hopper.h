#pragma once

#include "cuda/types.h"

namespace planted {

enum class HopperBug {
  kNone,
  kBarriersNotFenced,
  kBarriersNotMet,
  kCopyNotWaited,
  kWrongParity,
  kTooFewBytes,
  kTooManyBytes,
  kStageNotFree,
  kReleasedTooSoon,
  kNeverReleased,
  kMapNotFenced,
  kBoxMisaligned,
  kStoredWithoutFence,
  kNoFenceBeforeProducts,
  kSumsReadTooSoon,
  kSumsNeverWaitedFor,
  kHalfAWarpgroup,
  kDescriptorsDiffer,
  kUnknownSwizzle,
  kTooManyRegisters,
  // of share():
  kClusterNotMet,
  kBarrierNotFencedForCluster,
  kHalfNotWaited,
  kBlockEndsTooSoon,
  kCopyToNoBlock,
};

// out [64, 128] float32 = the first 64 rows of X times the first 128 of W, over two steps of K. Maps in device memory.
void run(HopperBug bug, const skrr::cuda::TensorMap* x, const skrr::cuda::TensorMap* w, float* out);

// Two blocks, each of which copies one box [64, 64] of W to both. out [2, 128, 64] float32: what each block has then.
void share(HopperBug bug, const skrr::cuda::TensorMap* w, float* out);

}  // namespace planted
