// The products of the encoder: C = X W^T, W found through the layer table, and what follows while C is in registers.
//
//   X [m, k] bf16, W [n, k] bf16 (slot `in` or `out`), float32 sums
//   kStore     y [m, n] bf16 = C                                              q|k|v
//   kActivate  y [m, n] bf16 = act(C)                                         wi of ungated models
//   kGate      y [m, n / 2] bf16 = act(C0) * C1, columns in turns of 8        wi_0 and wi_1 in one product
//   kAdd       h [m, n] float32 += scale * C, or partials [z][m, n] = C of split z of K     o, wo
//   grid (row tiles, column tiles, splits): neighbours share W's tile, which is read from memory once and then from L2
//
// Tiles (gemm_tile.cuh), by what bounds the product:
//   kSmall   64 x 64 x 64, 4 stages, 4 warps, 64 KB   few tokens: many blocks, deep prefetch, weights stream at full rate
//   kMedium 128 x 128 x 32, 4 stages, 4 warps, 64 KB  more tokens
//   kWide   128 x 256 x 32, 4 stages, 8 warps, 96 KB  many tokens: most arithmetic per byte; fits every sm_80 and later
#include "cuda/activation.cuh"
#include "cuda/gemm_tile.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

using SmallTile = TileShape<64, 64, 64, 2, 2, 4>;
using MediumTile = TileShape<128, 128, 32, 2, 2, 4>;
using WideTile = TileShape<128, 256, 32, 2, 4, 4>;

// Two neighbouring columns of one row of C, and where they belong.
struct Pair {
  int row, column;
  float first, second;
};

SKRR_DEVICE void store_pair(bf16* y, int stride, const Pair& c) {
  *reinterpret_cast<uint32_t*>(y + size_t(c.row) * size_t(stride) + size_t(c.column)) = pack_bf16x2(c.first, c.second);
}

SKRR_DEVICE void add_pair(const Gemm& g, float scale, const Pair& c) {
  const size_t index = size_t(c.row) * size_t(g.n) + size_t(c.column);
  if (gridDim.z > 1) {
    float* part = g.partials + size_t(blockIdx.z) * size_t(g.m) * size_t(g.n);
    *reinterpret_cast<float2*>(part + index) = make_float2(c.first, c.second);
  } else {
    float2* h = reinterpret_cast<float2*>(g.h + index);
    const float2 old = *h;
    *h = make_float2(old.x + scale * c.first, old.y + scale * c.second);
  }
}

// Calls use(row, column, i, j, e) for the pairs of this thread that lie inside [m, n]; e is the first of acc[i][j]'s two.
template <class Tile, class Use>
SKRR_DEVICE void for_pairs(const Gemm& g, Use use) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int first_row = int(blockIdx.x) * Tile::kRows + warp / Tile::kAcross * Tile::kWarpRows + lane / 4;
  const int first_column = int(blockIdx.y) * Tile::kColumns + warp % Tile::kAcross * Tile::kWarpColumns + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < Tile::kMmaDown; i++) {
#pragma unroll
    for (int j = 0; j < Tile::kMmaAcross; j++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = first_row + i * 16 + half * 8, column = first_column + j * 8;
        if (row < g.m && column < g.n) use(row, column, i, j, half * 2);
      }
    }
  }
}

template <class Tile>
SKRR_DEVICE void finish_tile(const Gemm& g, float scale, const Sums<Tile>& acc) {
  switch (g.finish) {
    case Finish::kStore:
      for_pairs<Tile>(g, [&](int row, int column, int i, int j, int e) {
        store_pair(g.y, g.n, {row, column, acc[i][j][e], acc[i][j][e + 1]});
      });
      break;
    case Finish::kActivate:
      for_pairs<Tile>(g, [&](int row, int column, int i, int j, int e) {
        store_pair(g.y, g.n, {row, column, activate(g.activation, acc[i][j][e]), activate(g.activation, acc[i][j][e + 1])});
      });
      break;
    case Finish::kGate:  // even j: eight columns of x W0^T; j + 1: the same eight of x W1^T
      for_pairs<Tile>(g, [&](int row, int column, int i, int j, int e) {
        if (j % 2 != 0) return;
        const int out = (column - column % 8) / 2 + column % 8;
        store_pair(g.y, g.n / 2, {row, out, activate(g.activation, acc[i][j][e]) * acc[i][j + 1][e],
                                  activate(g.activation, acc[i][j][e + 1]) * acc[i][j + 1][e + 1]});
      });
      break;
    case Finish::kAdd:
      for_pairs<Tile>(g, [&](int row, int column, int i, int j, int e) {
        add_pair(g, scale, {row, column, acc[i][j][e], acc[i][j][e + 1]});
      });
      break;
  }
}

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
  const int depth = (g.k + Tile::kDepth - 1) / Tile::kDepth;  // steps along K, dealt to the splits
  const int k_begin = int(blockIdx.z) * depth / int(gridDim.z) * Tile::kDepth;
  const int k_end = (int(blockIdx.z) + 1) * depth / int(gridDim.z) * Tile::kDepth;

  Sums<Tile> acc;
  multiply_tile<Tile>(shared_address(memory), x, w, k_begin, k_end < g.k ? k_end : g.k, acc);
  finish_tile<Tile>(g, step.scale, acc);
}

template <class Tile>
void launch_tile(Stream stream, const Gemm& g, int splits) {
  const auto tiles = [](int size, int tile) { return unsigned((size + tile - 1) / tile); };
  launch(stream, gemm_kernel<Tile>, dim3(tiles(g.m, Tile::kRows), tiles(g.n, Tile::kColumns), unsigned(splits)),
         dim3(Tile::kThreads), size_t(Tile::kSharedBytes), g);
}

}  // namespace

void gemm(Stream stream, const Gemm& g, const GemmPlan& plan) {
  switch (plan.tile) {
    case GemmTile::kSmall: return launch_tile<SmallTile>(stream, g, plan.splits);
    case GemmTile::kMedium: return launch_tile<MediumTile>(stream, g, plan.splits);
    case GemmTile::kWide: return launch_tile<WideTile>(stream, g, plan.splits);
  }
}

}  // namespace skrr::cuda
