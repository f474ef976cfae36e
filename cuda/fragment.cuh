// Fragments: how the sums of a product lie in the registers of a warp.
//
//   C [16, 8] of mma.sync: lane l holds the elements (l / 4, 2 (l % 4) + e) in c[e], e = 0, 1, and those 8 rows below in c[2 + e].
//   wgmma leaves the 16 rows of each of its four warps in the same way.
#pragma once

#include "cuda/intrinsics.cuh"

namespace skrr::cuda {

// Row and column of a lane's first element.
struct Fragment {
  int row, column;
};

// In a fragment whose first element, lane 0's, is at (row, column).
SKRR_DEVICE Fragment fragment_at(int row, int column) {
  const int lane = int(threadIdx.x) % 32;
  return {row + lane / 4, column + lane % 4 * 2};
}

// The column within a fragment. Not by fragment_at(), with which attention compiles to other machine code.
SKRR_DEVICE int fragment_column() { return int(threadIdx.x) % 4 * 2; }

}  // namespace skrr::cuda
