// The products of the encoder: C = X W^T, W found through the layer table, and the epilogue while C is in registers.
//
//   X [m, k] bf16, W [n, k] bf16 (slot `in` or `out`), float32 sums
//   kStore     y [m, n] bf16 = C                                              q|k|v
//   kActivate  y [m, n] bf16 = act(C)                                         up of ungated models
//   kGate      y [m, n / 2] bf16 = act(C0) * C1, columns in turns of 8        gate and up in one product
//   kAdd       h [m, n] float32 += scale * C, or partials [z][m, n] = C of split z of K     o, down
//   Where X's rows come from the stream and are not normed yet, C is multiplied by their factors; kAdd writes these rows for
//   the next product (normed_rows.cuh).
//   grid (row tiles, column tiles, splits): neighbours share W's tile, which comes from memory once and then from L2
//
// Tiles (gemm_tile.cuh), by what bounds the product:
//   kThin    32 x 64 x 64, 4 stages, 4 warps, 48 KB   few tokens: many blocks and deep prefetch stream weights at full rate;
//   kSmall   64 x 64 x 64, 4 stages, 4 warps, 64 KB   few rows a tile keep multiplication within the time that takes
//   kTall    96 x 64 x 64, 4 stages, 4 warps, 80 KB
//   kMedium 128 x 128 x 32, 4 stages, 4 warps, 64 KB  more tokens
//   kWide   128 x 256 x 32, 4 stages, 8 warps, 96 KB  many tokens: max arithmetic per byte; fits every sm_80 and later
#include "cuda/epilogue.cuh"
#include "cuda/gemm_tile.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

using ThinTile = TileShape<32, 64, 64, 2, 2, 4>;
using SmallTile = TileShape<64, 64, 64, 2, 2, 4>;
using TallTile = TileShape<96, 64, 64, 2, 2, 4>;
using MediumTile = TileShape<128, 128, 32, 2, 2, 4>;
using WideTile = TileShape<128, 256, 32, 2, 4, 4>;

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 1) gemm_kernel(Gemm g) {
  SKRR_SHARED_MEMORY(memory);
  const Step step = g.at.table[g.at.step];
  if (step.slot < 0) return;
  const Slot& slot = g.at.slots[step.slot];
  const bf16* weights = g.out_weights ? slot.out : slot.in;

  const int row = int(blockIdx.x) * Tile::kRows, column = int(blockIdx.y) * Tile::kColumns;
  const Operand x{g.x + size_t(row) * size_t(g.k), g.m - row, g.k};
  const Operand w{weights + size_t(column) * size_t(g.k), g.n - column, g.k};
  const int depth = (g.k + Tile::kDepth - 1) / Tile::kDepth;  // slices of K, dealt to the splits
  const int k_begin = int(blockIdx.z) * depth / int(gridDim.z) * Tile::kDepth;
  const int k_end = (int(blockIdx.z) + 1) * depth / int(gridDim.z) * Tile::kDepth;

  const int warp = int(threadIdx.x) / 32, warp_row = row + warp / Tile::kAcross * Tile::kWarpRows;
  const Fragment at = fragment_at(warp_row, column + warp % Tile::kAcross * Tile::kWarpColumns);
  float factors[Tile::kMmaDown][2];
  Sums<Tile> acc;
  multiply_tile<Tile>(shared_address(memory), x, w, k_begin, k_end < g.k ? k_end : g.k, acc, [&] {
    row_factors(g.norm, warp_row, g.m, g.k, factors);
  });
  run_epilogue(g, step, int(gridDim.z) > 1 ? int(blockIdx.z) : kWhole, at, factors, acc);
}

template <class Tile>
void launch_tile(Stream stream, const Gemm& g, int splits) {
  const auto tiles = [](int size, int tile) { return unsigned((size + tile - 1) / tile); };
  launch(stream, gemm_kernel<Tile>, dim3(tiles(g.m, Tile::kRows), tiles(g.n, Tile::kColumns), unsigned(splits)),
         dim3(Tile::kThreads), size_t(Tile::kSharedBytes), g);
}

}  // namespace

void gemm(Stream stream, const Gemm& g, const GemmTiling& tiling) {
  switch (tiling.tile) {
    case GemmTile::kThin: return launch_tile<ThinTile>(stream, g, tiling.splits);
    case GemmTile::kSmall: return launch_tile<SmallTile>(stream, g, tiling.splits);
    case GemmTile::kTall: return launch_tile<TallTile>(stream, g, tiling.splits);
    case GemmTile::kMedium: return launch_tile<MediumTile>(stream, g, tiling.splits);
    case GemmTile::kWide: return launch_tile<WideTile>(stream, g, tiling.splits);
    case GemmTile::kHopper: return hopper_gemm(stream, g, tiling);
  }
}

}  // namespace skrr::cuda
