// RMS norm without a pass of its own. y = f h w, f = 1 / sqrt(mean(h^2) + epsilon) for each row, so a product of y is
//
//   sum_k y_k W_nk = f sum_k (h_k w_k) W_nk
//
// The kernel that writes the residual stream h [rows, padded] float32 also writes what the next product reads of it: x = h w
// [rows, padded] bf16 (w is the norm of the sub-block that runs next, by the layer table) and the sum of squares of every 32
// columns [rows, padded / 32 rounded up]. The product takes x as it is and multiplies its sums by f. Each element is rounded
// to bf16 once, as y would be.
#pragma once

#include "cuda/fragment.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {

// The weight of the norm that the next step applies to the stream; null where no step follows.
SKRR_DEVICE const float* next_norm(const StepRef& at, const Step& step) {
  return step.next < 0 ? nullptr : at.slots[step.next].norm;
}

SKRR_DEVICE void store_x(const NormedRows& rows, const float* weight, size_t row, int padded, int column, float first,
                         float second) {
  const float2 w = *reinterpret_cast<const float2*>(weight + column);
  uint32_t* x = reinterpret_cast<uint32_t*>(rows.x + row * size_t(padded) + size_t(column));
  *x = pack_bf16x2(first * w.x, second * w.y);
}

// Every kernel sums the squares of 32 columns of a row in one order, so that a stream taken up anywhere gives the same bits:
// pairs (columns 8 j + 2 t and 8 j + 2 t + 1) over j as (0 + 1) + (2 + 3), then over t as (0 + 1) + (2 + 3).
SKRR_DEVICE float square_of_pair(float first, float second) { return fmaf(first, first, second * second); }

SKRR_DEVICE float from_lane_xor(float value, int lanes) { return value + __shfl_xor_sync(0xffffffffu, value, lanes); }

SKRR_DEVICE void store_squares(const NormedRows& rows, size_t row, int padded, int column, float squares) {
  rows.squares[row * size_t(square_groups(padded)) + size_t(column / kSquareColumns)] = squares;
}

// For fragments as mma.sync leaves them: lane t of four holds its pair of each j.
SKRR_DEVICE float squares_of_fragments(const float (&pairs)[4]) {
  return from_lane_xor(from_lane_xor((pairs[0] + pairs[1]) + (pairs[2] + pairs[3]), 1), 2);
}

// For four columns a lane: eight lanes hold 32, lane 2 j + t / 2 the pairs t = 0, 1 or t = 2, 3 of j.
SKRR_DEVICE float squares_of_columns(const float4& h) {
  const float even = from_lane_xor(from_lane_xor(square_of_pair(h.x, h.y), 2), 4);
  const float odd = from_lane_xor(from_lane_xor(square_of_pair(h.z, h.w), 2), 4);
  return from_lane_xor(even + odd, 1);
}

// Stores x and squares of four columns of the stream, which are zeros where not `valid`; nothing where no step follows.
SKRR_DEVICE void store_normed(const NormedRows& rows, const float* weight, size_t row, int padded, int column, bool valid,
                              const float4& h) {
  if (!weight) return;
  const float squares = squares_of_columns(h);
  if (!valid) return;
  store_x(rows, weight, row, padded, column, h.x, h.y);
  store_x(rows, weight, row, padded, column + 2, h.z, h.w);
  if (threadIdx.x % 8 == 0) store_squares(rows, row, padded, column, squares);
}

// factors[i][half] = f of this lane's row, 16 i + 8 half below its first; `first_row` is lane 0's. All lanes call it together:
// the whole warp sums a row, in an order that never changes.
template <int kDown>
SKRR_DEVICE void row_factors(const RowNorm& norm, int first_row, int rows, int padded, float (&factors)[kDown][2]) {
  const int lane = int(threadIdx.x) % 32, groups = square_groups(padded);
#pragma unroll
  for (int r = 0; r < kDown * 16; r++) {
    float sum = 0;
    if (norm.squares && first_row + r < rows) {
      const float* squares = norm.squares + size_t(first_row + r) * size_t(groups);
      for (int g = lane; g < groups; g += 32) sum += squares[g];
      for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    }
    const float factor = norm.squares ? 1.0f / sqrtf(sum / float(norm.width) + norm.epsilon) : 1.0f;
    if (fragment_at(0, 0).row == r % 8) factors[r / 16][r / 8 % 2] = factor;
  }
}

}  // namespace skrr::cuda
