#pragma once

#include <cstdint>

#include "cuda/types.h"

namespace planted {

enum Bug {
  kNone,
  kMissingBarrier,
  kOverwriteTooSoon,
  kUninitialised,
  kPastShared,
  kPastAllocation,
  kBlocksRace,
  kHalfAWarpAtBarrier,
  kHalfAWarpShuffles,
  kCopyWaited,
  kCopyNotWaited,
  kCopyNotMet,
  kCopyMisaligned,
  kRegisterArray,
  kTooMuchShared,
};

// One block of 64 threads (two where blocks race). in: 256 floats, out: 64 numbers of 4 bytes.
void run(Bug bug, void* in, void* out);

// One warp, ldmatrix.x4 of a 16 x 16 tile whose rows lie `stride` bytes apart. out [32 lanes, 4].
void load_matrices(const skrr::cuda::bf16* in, uint32_t* out, int stride, bool transposed);

// One warp, one mma.sync. a [32 lanes, 4], b [32 lanes, 2], d [32 lanes, 4] = 1 + A B.
void multiply(const uint32_t* a, const uint32_t* b, float* d);

// value [64] += 1
void increment(int* value);

}  // namespace planted
