// The products of gemm.cu on Hopper: C = X W^T and what follows.
//
//   X [m, k] bf16, W [n, k] bf16 (slot `in` or `out`, by the slot's tensor maps), float32 sums; y or h as in gemm.cu
//   grid of at most one block a multiprocessor, alone or in pairs; 384 threads, 192 KB shared memory
//
// Tiles are 128 rows by 256 columns; the last columns are cut into tiles of 128, as many as let all processors finish at
// one time (gemm_plan.cpp). A block takes every gridDim.x-th tile. A tile's K is walked in steps of 64: a stage of the ring
// holds two boxes of X and two or four of W, [64, 64] each.
//
//   producer (a thread of warpgroup 2)           consumers (warpgroups 0 and 1, 64 rows each)
//   wait until `empty` of the stage              wait until `full` of the stage
//   announce its bytes at `full`                 issue 4 wgmma m64n256k16 on it
//   let TMA copy the boxes, go on                wait for those of the step before, arrive at its stage's `empty`
//
// The ring runs on from tile to tile: while consumers store a tile, the producer fills the ring with the next.
//
// A pair of blocks (a cluster) multiplies two tiles of 128 rows by the same columns. Each copies half of W's boxes, to both:
// W comes from L2 once for 256 rows. So a stage is empty when the consumers of both have arrived.
#include "cuda/gemm_finish.cuh"
#include "cuda/hopper_intrinsics.cuh"
#include "cuda/kernels.h"
#include "cuda/tensor_map.h"

namespace skrr::cuda {
namespace {

constexpr int kRows = 128, kNarrow = 128;  // of a tile: rows, and columns of a narrow one; wide ones have twice as many
constexpr int kDepth = kBoxColumns, kStages = 4;
constexpr int kXBoxes = kRows / kBoxRows, kMostWBoxes = 2 * kNarrow / kBoxRows;
constexpr int kStageBytes = (kXBoxes + kMostWBoxes) * kBoxBytes;
constexpr int kRingBytes = kStages * kStageBytes;
constexpr int kSharedBytes = kRingBytes + kStages * 2 * int(sizeof(uint64_t));  // and a `full` and an `empty` of each stage
constexpr int kWarpgroup = 128, kConsumers = 2, kConsumerWarps = kConsumers * 4;
constexpr int kThreads = (kConsumers + 1) * kWarpgroup;

// --- which tiles there are ---

struct Cut {
  int down;          // tiles of 128 rows, or pairs of them
  int wide, narrow;  // tiles of 256 columns, followed by tiles of 128
  int splits;        // of K
  int depth;         // steps of 64 along K
};

struct Tile {
  int row, column;
  int boxes;         // of W in a stage
  int split;
  int begin, end;    // steps along K
};

// Neighbours share W's columns, so that these are read from memory once; the narrow tiles come last.
template <int kBlocks>
SKRR_DEVICE Tile tile_at(const Cut& cut, int index) {
  const int split = index / cut.down % cut.splits, across = index / cut.down / cut.splits;
  const bool wide = across < cut.wide;
  return {(index % cut.down * kBlocks + (kBlocks > 1 ? cluster_rank() : 0)) * kRows,
          (wide ? across * 2 : across + cut.wide) * kNarrow,
          wide ? kMostWBoxes : kMostWBoxes / 2,
          split,
          split * cut.depth / cut.splits,
          (split + 1) * cut.depth / cut.splits};
}

// Calls use(tile) for the tiles of this block.
template <int kBlocks, class Use>
SKRR_DEVICE void for_tiles(const Cut& cut, Use use) {
  const int tiles = cut.down * cut.splits * (cut.wide + cut.narrow);
  for (int index = int(blockIdx.x) / kBlocks; index < tiles; index += int(gridDim.x) / kBlocks) {
    use(tile_at<kBlocks>(cut, index));
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

// This block's share of W's boxes, to every block.
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
SKRR_DEVICE void produce(const Cut& cut, Ring ring, const TensorMap* x, const TensorMap* w) {
  for_tiles<kBlocks>(cut, [&](const Tile& tile) {
    for (int step = tile.begin; step < tile.end; step++, ring.advance()) {
      mbarrier_wait(ring.empty(), ring.parity ^ 1);
      mbarrier_arrive_expect(ring.full(), uint32_t((kXBoxes + tile.boxes) * kBoxBytes));
      for (int box = 0; box < kXBoxes; box++) {
        tma_load(ring.x(box), x, tile.row + box * kBoxRows, step * kDepth, ring.full());
      }
      copy_w<kBlocks>(ring, w, tile, step * kDepth);
    }
  });
}

// --- the consumers ---

// For wgmma: rows of 128 bytes, swizzled, groups of 8 of them 1024 bytes apart. 16 columns on: 32 bytes, 2 in its units.
SKRR_DEVICE uint64_t descriptor(uint32_t shared) {
  return uint64_t((shared & 0x3ffff) >> 4) | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

// Each warp, to every block that copies into its stages.
template <int kBlocks>
SKRR_DEVICE void release(const Ring& ring) {
  const int lane = int(threadIdx.x) % 32;
  if constexpr (kBlocks > 1) {
    if (lane < kBlocks) mbarrier_arrive_cluster(cluster_address(ring.empty(), lane));
  } else {
    if (lane == 0) mbarrier_arrive(ring.empty());
  }
}

// acc = X W^T of this warpgroup's 64 rows. One step's products stay in flight while the next step's are issued.
template <int kBlocks, int kAcross>
SKRR_DEVICE void multiply_tile(const Tile& tile, Ring& ring, float (&acc)[kAcross][4]) {
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
#pragma unroll
    for (int e = 0; e < 4; e++) acc[j][e] = 0;
  }
  const int warpgroup = int(threadIdx.x) / kWarpgroup;
  Ring before = ring;
  for (int step = tile.begin; step < tile.end; step++, ring.advance()) {
    mbarrier_wait(ring.full(), ring.parity);
    const uint64_t x = descriptor(ring.x(warpgroup)), w = descriptor(ring.w(0));
    wgmma_fence(acc);
#pragma unroll
    for (int k = 0; k < kDepth / 16; k++) wgmma(acc, x + uint64_t(k * 2), w + uint64_t(k * 2));
    wgmma_commit();
    wgmma_wait<1>(acc);
    if (step > tile.begin) release<kBlocks>(before);
    before = ring;
  }
  wgmma_wait<0>(acc);
  release<kBlocks>(before);
}

template <int kBlocks, int kAcross>
SKRR_DEVICE void consume_tile(const Gemm& g, const Cut& cut, const Step& step, const Tile& tile, Ring& ring) {
  const int thread = int(threadIdx.x), lane = thread % 32, warp_row = tile.row + thread / 32 * 16;
  float factors[1][2], acc[1][kAcross][4];
  row_factors(g.norm, warp_row, g.m, g.k, factors);
  multiply_tile<kBlocks>(tile, ring, acc[0]);
  const Fragment at{warp_row + lane / 4, tile.column + lane % 4 * 2};
  finish_tile(g, step, cut.splits > 1 ? tile.split : kWhole, at, factors, acc);
}

template <int kBlocks>
SKRR_DEVICE void consume(const Gemm& g, const Cut& cut, const Step& step, Ring ring) {
  for_tiles<kBlocks>(cut, [&](const Tile& tile) {
    if (tile.boxes == kMostWBoxes) {
      consume_tile<kBlocks, 2 * kNarrow / 8>(g, cut, step, tile, ring);
    } else {
      consume_tile<kBlocks, kNarrow / 8>(g, cut, step, tile, ring);
    }
  });
}

// Registers: 168 for each thread at the start; the producer gives most of its own to the consumers' sums.
template <int kBlocks>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_gemm_kernel(const SKRR_GRID_CONSTANT TensorMap x, Gemm g, Cut cut) {
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
      produce<kBlocks>(cut, ring, &x, w);
    }
  } else {
    take_registers<232>();
    consume<kBlocks>(g, cut, step, ring);
  }
  if constexpr (kBlocks > 1) cluster_sync();  // a block may not end while the other still reaches into it
}

}  // namespace

void hopper_gemm(Stream stream, const Gemm& g, const GemmPlan& plan) {
  const auto tiles = [](int size, int tile) { return (size + tile - 1) / tile; };
  const int left = g.n - plan.wide * 2 * kNarrow;
  const Cut cut{tiles(g.m, kRows * plan.cluster), plan.wide, left > 0 ? tiles(left, kNarrow) : 0, plan.splits,
                tiles(g.k, kDepth)};
  launch_clusters(stream, plan.cluster > 1 ? hopper_gemm_kernel<2> : hopper_gemm_kernel<1>, dim3(unsigned(plan.blocks)),
                  dim3(kThreads), unsigned(plan.cluster), size_t(kSharedBytes), tensor_map(g.x, g.m, g.k), g, cut);
}

}  // namespace skrr::cuda
