// The products of gemm.cu on Hopper: C = X W^T, then the epilogue.
//
//   X [m, k] bf16, W [n, k] bf16 (slot `in` or `out`, by the slot's tensor maps), float32 sums; y or h as in gemm.cu
//   grid of at most one block an SM, alone or in pairs; 384 threads, 192 KB shared memory
//
// Tiles are 128 rows by 256 columns; the last columns are cut into tiles of 128, as many as let all SMs finish at
// one time (gemm_tiling.cpp). A block takes every gridDim.x-th tile. It walks a tile's K in slices of 64: a stage of the ring
// holds two boxes of X and two or four of W, [64, 64] each.
//
//   producer (a thread of warpgroup 2)           consumers (warpgroups 0 and 1, 64 rows each)
//   wait until `empty` of the stage              wait until `full` of the stage
//   announce its bytes at `full`                 issue 4 wgmma m64n256k16 on it
//   let TMA copy the boxes, go on                wait for those of the slice before, arrive at its stage's `empty`
//
// The ring runs on from tile to tile: while consumers store a tile, the producer fills the ring with the next.
//
// A pair of blocks (a cluster) multiplies two tiles of 128 rows by the same columns. Each copies half of W's boxes, to both:
// W comes from L2 once for 256 rows. A stage is empty when the consumers of both blocks have arrived.
#include "cuda/epilogue.cuh"
#include "cuda/hopper_intrinsics.cuh"
#include "cuda/kernels.h"
#include "cuda/tensor_map.h"

namespace skrr::cuda {
namespace {

constexpr int kRows = 128, kNarrow = 128;  // a tile's rows, and the columns of a narrow one; a wide one has twice as many
constexpr int kDepth = kBoxColumns, kStages = 4;
constexpr int kXBoxes = kRows / kBoxRows, kMaxWBoxes = 2 * kNarrow / kBoxRows;
constexpr int kStageBytes = (kXBoxes + kMaxWBoxes) * kBoxBytes;
constexpr int kRingBytes = kStages * kStageBytes;
constexpr int kSharedBytes = kRingBytes + kStages * 2 * int(sizeof(uint64_t));  // and each stage's `full` and `empty`
constexpr int kWarpgroup = 128, kConsumers = 2, kConsumerWarps = kConsumers * 4;
constexpr int kThreads = (kConsumers + 1) * kWarpgroup;

// --- which tiles there are ---

struct Tiling {
  int down;          // tiles of 128 rows, or pairs of them
  int wide, narrow;  // tiles of 256 columns, followed by tiles of 128
  int splits;        // of K
  int depth;         // slices of K, 64 columns each
};

struct Tile {
  int row, column;
  int boxes;         // of W in a stage
  int split;
  int begin, end;    // slices of K
};

// Neighbours share W's columns, so memory is read once for both; the narrow tiles come last.
template <int kBlocks>
SKRR_DEVICE Tile tile_at(const Tiling& tiling, int index) {
  const int split = index / tiling.down % tiling.splits, across = index / tiling.down / tiling.splits;
  const bool wide = across < tiling.wide;
  return {(index % tiling.down * kBlocks + (kBlocks > 1 ? cluster_rank() : 0)) * kRows,
          (wide ? across * 2 : across + tiling.wide) * kNarrow,
          wide ? kMaxWBoxes : kMaxWBoxes / 2,
          split,
          split * tiling.depth / tiling.splits,
          (split + 1) * tiling.depth / tiling.splits};
}

// Calls use(tile) for the tiles of this block.
template <int kBlocks, class Use>
SKRR_DEVICE void for_tiles(const Tiling& tiling, Use use) {
  const int tiles = tiling.down * tiling.splits * (tiling.wide + tiling.narrow);
  for (int index = int(blockIdx.x) / kBlocks; index < tiles; index += int(gridDim.x) / kBlocks) {
    use(tile_at<kBlocks>(tiling, index));
  }
}

// --- the ring of stages ---

struct Ring {
  uint32_t shared;
  int stage = 0;
  uint32_t parity = 0;  // of the round

  SKRR_DEVICE uint32_t x(int box) const { return shared + uint32_t(stage * kStageBytes + box * kBoxBytes); }
  SKRR_DEVICE uint32_t w(int box) const { return x(kXBoxes + box); }
  SKRR_DEVICE uint32_t full() const { return shared + uint32_t(kRingBytes + stage * 16); }
  SKRR_DEVICE uint32_t empty() const { return full() + 8; }
  SKRR_DEVICE void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

template <int kBlocks>
SKRR_DEVICE void init_barriers(Ring ring) {
  for (int s = 0; s < kStages; s++, ring.advance()) {
    mbarrier_init(ring.full(), 1);
    mbarrier_init(ring.empty(), kConsumerWarps * kBlocks);
  }
  fence_mbarrier_init();
  fence_async_proxy();
}

template <int kBlocks>
SKRR_DEVICE void sync_blocks() {
  if constexpr (kBlocks > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
}

// --- the producer ---

// Copies this block's share of W's boxes to every block.
template <int kBlocks>
SKRR_DEVICE void copy_w(const Ring& ring, const TensorMap* w, const Tile& tile, int k) {
  for (int box = kBlocks > 1 ? cluster_rank() : 0; box < tile.boxes; box += kBlocks) {
    const int row = tile.column + box * kBoxRows;
    if constexpr (kBlocks > 1) {
      tma_load_multicast(ring.w(box), w, row, k, ring.full(), (1 << kBlocks) - 1);
    } else {
      tma_load(ring.w(box), w, row, k, ring.full());
    }
  }
}

template <int kBlocks>
SKRR_DEVICE void produce(const Tiling& tiling, Ring ring, const TensorMap* x, const TensorMap* w) {
  for_tiles<kBlocks>(tiling, [&](const Tile& tile) {
    for (int slice = tile.begin; slice < tile.end; slice++, ring.advance()) {
      mbarrier_wait(ring.empty(), ring.parity ^ 1);
      mbarrier_arrive_expect(ring.full(), uint32_t((kXBoxes + tile.boxes) * kBoxBytes));
      for (int box = 0; box < kXBoxes; box++) {
        tma_load(ring.x(box), x, tile.row + box * kBoxRows, slice * kDepth, ring.full());
      }
      copy_w<kBlocks>(ring, w, tile, slice * kDepth);
    }
  });
}

// --- the consumers ---

// wgmma's descriptor: rows of 128 bytes, swizzled, groups of 8 rows 1024 bytes apart. 16 columns further are 32 bytes, 2 units.
SKRR_DEVICE uint64_t descriptor(uint32_t shared) {
  return uint64_t((shared & 0x3ffff) >> 4) | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

// Each warp arrives at every block that copies into its stages.
template <int kBlocks>
SKRR_DEVICE void release(const Ring& ring) {
  const int lane = int(threadIdx.x) % 32;
  if constexpr (kBlocks > 1) {
    if (lane < kBlocks) mbarrier_arrive_cluster(cluster_address(ring.empty(), lane));
  } else {
    if (lane == 0) mbarrier_arrive(ring.empty());
  }
}

// acc = X W^T of this warpgroup's 64 rows. One slice's products stay in flight while the next slice's are issued.
template <int kBlocks, int kAcross>
SKRR_DEVICE void multiply_tile(const Tile& tile, Ring& ring, float (&acc)[kAcross][4]) {
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
#pragma unroll
    for (int e = 0; e < 4; e++) acc[j][e] = 0;
  }
  const int warpgroup = int(threadIdx.x) / kWarpgroup;
  Ring before = ring;
  for (int slice = tile.begin; slice < tile.end; slice++, ring.advance()) {
    mbarrier_wait(ring.full(), ring.parity);
    const uint64_t x = descriptor(ring.x(warpgroup)), w = descriptor(ring.w(0));
    wgmma_fence(acc);
#pragma unroll
    for (int k = 0; k < kDepth / 16; k++) wgmma(acc, x + uint64_t(k * 2), w + uint64_t(k * 2));
    wgmma_commit();
    wgmma_wait<1>(acc);
    if (slice > tile.begin) release<kBlocks>(before);
    before = ring;
  }
  wgmma_wait<0>(acc);
  release<kBlocks>(before);
}

template <int kBlocks, int kAcross>
SKRR_DEVICE void consume_tile(const Gemm& g, const Tiling& tiling, const Step& step, const Tile& tile, Ring& ring) {
  const int warp_row = tile.row + int(threadIdx.x) / 32 * 16;
  float factors[1][2], acc[1][kAcross][4];
  row_factors(g.norm, warp_row, g.m, g.k, factors);
  multiply_tile<kBlocks>(tile, ring, acc[0]);
  run_epilogue(g, step, tiling.splits > 1 ? tile.split : kWhole, fragment_at(warp_row, tile.column), factors, acc);
}

template <int kBlocks>
SKRR_DEVICE void consume(const Gemm& g, const Tiling& tiling, const Step& step, Ring ring) {
  for_tiles<kBlocks>(tiling, [&](const Tile& tile) {
    if (tile.boxes == kMaxWBoxes) {
      consume_tile<kBlocks, 2 * kNarrow / 8>(g, tiling, step, tile, ring);
    } else {
      consume_tile<kBlocks, kNarrow / 8>(g, tiling, step, tile, ring);
    }
  });
}

// Each thread starts with 168 registers; the producer gives up all but 40 to the consumers' sums.
template <int kBlocks>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_gemm_kernel(const SKRR_GRID_CONSTANT TensorMap x, Gemm g, Tiling tiling) {
  SKRR_SHARED_MEMORY(memory);
  const Step step = g.at.table[g.at.step];
  if (step.slot < 0) return;
  const Ring ring{shared_address(memory)};
  if (threadIdx.x == 0) init_barriers<kBlocks>(ring);
  sync_blocks<kBlocks>();

  if (threadIdx.x / kWarpgroup == kConsumers) {
    give_registers<40>();
    if (threadIdx.x % kWarpgroup == 0) {
      const TensorMap* w = &g.at.slots[step.slot].maps[g.out_weights ? 1 : 0];
      fence_tensor_map(w);
      produce<kBlocks>(tiling, ring, &x, w);
    }
  } else {
    take_registers<232>();
    consume<kBlocks>(g, tiling, step, ring);
  }
  if constexpr (kBlocks > 1) cluster_sync();  // a block must not end while the other reaches into it
}

}  // namespace

void hopper_gemm(Stream stream, const Gemm& g, const GemmTiling& t) {
  const auto tiles = [](int size, int tile) { return (size + tile - 1) / tile; };
  const int left = g.n - t.wide * 2 * kNarrow;
  const Tiling tiling{tiles(g.m, kRows * t.cluster), t.wide, left > 0 ? tiles(left, kNarrow) : 0, t.splits,
                      tiles(g.k, kDepth)};
  launch_clusters(stream, t.cluster > 1 ? hopper_gemm_kernel<2> : hopper_gemm_kernel<1>, dim3(unsigned(t.blocks)),
                  dim3(kThreads), unsigned(t.cluster), size_t(kSharedBytes), tensor_map(g.x, g.m, g.k), g, tiling);
}

}  // namespace skrr::cuda
