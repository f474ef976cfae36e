// The inner part of a bf16 matrix product: one thread block computes a tile of C = X W^T.
//
//   X tile [kRows, kDepth] and W tile [kColumns, kDepth] of one slice of K are a stage; kStages of them lie in shared
//   memory. cp.async fills stage s + kStages - 1 while stage s is multiplied, with one barrier a slice:
//
//     wait for stage s | barrier | issue stage s + kStages - 1 (into the stage that was multiplied at s - 1) | multiply s
//
//   Each warp multiplies a part [kWarpRows, kWarpColumns] with mma.sync m16n8k16: operands from shared memory by ldmatrix,
//   float32 sums in registers.
#pragma once

#include "cuda/intrinsics.cuh"
#include "cuda/swizzle.cuh"

namespace skrr::cuda {

template <int kRows_, int kColumns_, int kDepth_, int kWarpsDown, int kWarpsAcross, int kStages_>
struct TileShape {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kDepth = kDepth_, kStages = kStages_;
  static constexpr int kThreads = kWarpsDown * kWarpsAcross * 32;
  static constexpr int kWarpRows = kRows / kWarpsDown, kWarpColumns = kColumns / kWarpsAcross;
  static constexpr int kAcross = kWarpsAcross;
  static constexpr int kRowBytes = kDepth * 2;
  static constexpr int kXBytes = kRows * kRowBytes, kWBytes = kColumns * kRowBytes;
  static constexpr int kStageBytes = kXBytes + kWBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kMmaDown = kWarpRows / 16, kMmaAcross = kWarpColumns / 8;
  static_assert(kMmaAcross % 2 == 0, "W's fragments are loaded two at a time, and gate and value lie side by side");
};

// A warp's sums: acc[i][j] is the fragment (fragment.cuh) at (16 i, 8 j).
template <class Tile>
using Sums = float[Tile::kMmaDown][Tile::kMmaAcross][4];

// The part of a matrix a block multiplies: `rows` valid rows of `stride` elements.
struct Operand {
  const bf16* data;
  int rows;
  int stride;
};

// Copies [kRows, kDepth] from column k on; rows past the valid ones and columns from `k_end` on become zeros.
template <class Tile, int kRows>
SKRR_DEVICE void copy_tile(uint32_t shared, const Operand& from, int k, int k_end) {
  constexpr int kChunks = Tile::kDepth / 8;
  static_assert(kRows * kChunks % Tile::kThreads == 0, "");
#pragma unroll
  for (int i = 0; i < kRows * kChunks / Tile::kThreads; i++) {
    const int index = int(threadIdx.x) + i * Tile::kThreads, row = index / kChunks, chunk = index % kChunks;
    const bool valid = row < from.rows && k + chunk * 8 < k_end;
    const bf16* source = valid ? from.data + size_t(row) * size_t(from.stride) + size_t(k + chunk * 8) : from.data;
    cp_async_16(shared + swizzled<Tile::kRowBytes>(row, chunk), source, valid);
  }
}

template <class Tile>
SKRR_DEVICE void copy_stage(uint32_t stage, const Operand& x, const Operand& w, int k, int k_end) {
  copy_tile<Tile, Tile::kRows>(stage, x, k, k_end);
  copy_tile<Tile, Tile::kColumns>(stage + Tile::kXBytes, w, k, k_end);
}

// acc += X W^T of one stage, this warp's part.
template <class Tile>
SKRR_DEVICE void multiply_stage(uint32_t stage, Sums<Tile>& acc) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int x_row = warp / Tile::kAcross * Tile::kWarpRows + lane % 16;
  const int w_row = warp % Tile::kAcross * Tile::kWarpColumns + lane / 16 * 8 + lane % 8;
#pragma unroll
  for (int k = 0; k < Tile::kDepth / 16; k++) {
    uint32_t x[Tile::kMmaDown][4], w[Tile::kMmaAcross / 2][4];
#pragma unroll
    for (int i = 0; i < Tile::kMmaDown; i++) {
      ldmatrix_x4(x[i], stage + swizzled<Tile::kRowBytes>(x_row + i * 16, k * 2 + lane / 16));
    }
#pragma unroll
    for (int j = 0; j < Tile::kMmaAcross / 2; j++) {
      const uint32_t offset = swizzled<Tile::kRowBytes>(w_row + j * 16, k * 2 + lane / 8 % 2);
      ldmatrix_x4(w[j], stage + Tile::kXBytes + offset);
    }
#pragma unroll
    for (int i = 0; i < Tile::kMmaDown; i++) {
#pragma unroll
      for (int j = 0; j < Tile::kMmaAcross; j++) mma_bf16(acc[i][j], x[i], w[j / 2][j % 2 * 2], w[j / 2][j % 2 * 2 + 1]);
    }
  }
}

// acc = X W^T over columns [k_begin, k_end) of both. `meanwhile` is called while the first stages are on their way.
template <class Tile, class Meanwhile>
SKRR_DEVICE void multiply_tile(uint32_t shared, const Operand& x, const Operand& w, int k_begin, int k_end,
                               Sums<Tile>& acc, Meanwhile meanwhile) {
#pragma unroll
  for (int i = 0; i < Tile::kMmaDown; i++) {
#pragma unroll
    for (int j = 0; j < Tile::kMmaAcross; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) acc[i][j][e] = 0;
    }
  }
  const int slices = (k_end - k_begin + Tile::kDepth - 1) / Tile::kDepth;
  const auto copy_slice = [&](int slice) {  // a group for every slice, empty past the end: waits count groups
    if (slice < slices) {
      copy_stage<Tile>(shared + uint32_t(slice % Tile::kStages * Tile::kStageBytes), x, w,
                       k_begin + slice * Tile::kDepth, k_end);
    }
    cp_async_commit();
  };
#pragma unroll
  for (int slice = 0; slice < Tile::kStages - 1; slice++) copy_slice(slice);
  meanwhile();
  for (int slice = 0; slice < slices; slice++) {
    cp_async_wait<Tile::kStages - 2>();
    __syncthreads();
    copy_slice(slice + Tile::kStages - 1);
    multiply_stage<Tile>(shared + uint32_t(slice % Tile::kStages * Tile::kStageBytes), acc);
  }
  cp_async_wait<0>();
}

}  // namespace skrr::cuda
