// The products of gemm.cu on Hopper: C = X W^T and what follows, for many tokens.
//
//   X [m, k] bf16, W [n, k] bf16 (slot `in` or `out`, by the slot's tensor maps), float32 sums; y or h as in gemm.cu
//   grid of at most one block a multiprocessor, each takes every gridDim.x-th tile; 384 threads, 193 KB shared memory
//
// Tiles are 128 rows by 256 columns; the last columns are cut into tiles of 128, as many as let all processors finish at
// one time (gemm_plan.cpp). A tile's K is walked in steps of 64: a stage of the ring is a box of X and one or two of W.
//
//   producer (a thread of warpgroup 2)           consumers (warpgroups 0 and 1, 64 rows each)
//   wait until `empty` of the stage              wait until `full` of the stage
//   announce its bytes at `full`                 issue 4 wgmma m64n256k16 on it
//   let TMA copy the boxes, go on                wait for those of the step before, arrive at its stage's `empty`
//
// The ring runs on from tile to tile: while consumers store a tile, the producer fills the ring with the next.
#include "cuda/gemm_finish.cuh"
#include "cuda/hopper_intrinsics.cuh"
#include "cuda/kernels.h"
#include "cuda/tensor_map.h"

namespace skrr::cuda {
namespace {

constexpr int kDepth = kBoxColumns, kStages = 4;
constexpr int kStageBytes = 3 * kBoxBytes;  // X, W, W
constexpr int kRingBytes = kStages * kStageBytes;
constexpr int kSharedBytes = kRingBytes + kStages * 2 * int(sizeof(uint64_t));  // and a `full` and an `empty` of each stage
constexpr int kWarpgroup = 128, kConsumers = 2, kConsumerWarps = kConsumers * 4;
constexpr int kThreads = (kConsumers + 1) * kWarpgroup;

// --- which tiles there are ---

struct Cut {
  int down;          // tiles of 128 rows
  int wide, narrow;  // tiles of 256 columns, followed by tiles of 128
  int splits;        // of K
  int depth;         // steps of 64 along K
};

struct Tile {
  int row, column;
  int boxes;         // of W: 2 or 1
  int split;
  int begin, end;    // steps along K
};

// Neighbours share W's columns, so that these are read from memory once; the narrow tiles come last.
SKRR_DEVICE Tile tile_at(const Cut& cut, int index) {
  const int split = index / cut.down % cut.splits, across = index / cut.down / cut.splits;
  const bool wide = across < cut.wide;
  return {index % cut.down * kBoxRows,
          (wide ? across * 2 : across + cut.wide) * kBoxRows,
          wide ? 2 : 1,
          split,
          split * cut.depth / cut.splits,
          (split + 1) * cut.depth / cut.splits};
}

SKRR_DEVICE int tile_count(const Cut& cut) { return cut.down * cut.splits * (cut.wide + cut.narrow); }

// --- the ring of stages ---

struct Ring {
  uint32_t shared;
  int stage = 0;
  uint32_t parity = 0;  // of the round

  SKRR_DEVICE uint32_t x() const { return shared + uint32_t(stage * kStageBytes); }
  SKRR_DEVICE uint32_t w(int box) const { return x() + uint32_t((1 + box) * kBoxBytes); }
  SKRR_DEVICE uint32_t full() const { return shared + uint32_t(kRingBytes + stage * 16); }
  SKRR_DEVICE uint32_t empty() const { return full() + 8; }
  SKRR_DEVICE void advance() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

SKRR_DEVICE void init_barriers(Ring ring) {
  for (int s = 0; s < kStages; s++, ring.advance()) {
    mbarrier_init(ring.full(), 1);
    mbarrier_init(ring.empty(), kConsumerWarps);
  }
  fence_async_proxy();
}

SKRR_DEVICE void produce(const Cut& cut, Ring ring, const TensorMap* x, const TensorMap* w) {
  for (int index = int(blockIdx.x); index < tile_count(cut); index += int(gridDim.x)) {
    const Tile tile = tile_at(cut, index);
    for (int step = tile.begin; step < tile.end; step++, ring.advance()) {
      mbarrier_wait(ring.empty(), ring.parity ^ 1);
      mbarrier_arrive_expect(ring.full(), uint32_t((1 + tile.boxes) * kBoxBytes));
      tma_load(ring.x(), x, tile.row, step * kDepth, ring.full());
      for (int box = 0; box < tile.boxes; box++) {
        tma_load(ring.w(box), w, tile.column + box * kBoxRows, step * kDepth, ring.full());
      }
    }
  }
}

// --- the consumers ---

// For wgmma: rows of 128 bytes, swizzled, groups of 8 of them 1024 bytes apart. 16 columns on: 32 bytes, 2 in its units.
SKRR_DEVICE uint64_t descriptor(uint32_t shared) {
  return uint64_t((shared & 0x3ffff) >> 4) | uint64_t(1) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

SKRR_DEVICE void release(const Ring& ring) {
  if (threadIdx.x % 32 == 0) mbarrier_arrive(ring.empty());
}

// acc = X W^T of this warpgroup's 64 rows. One step's products stay in flight while the next step's are issued.
template <int kAcross>
SKRR_DEVICE void multiply_tile(const Tile& tile, Ring& ring, float (&acc)[kAcross][4]) {
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
#pragma unroll
    for (int e = 0; e < 4; e++) acc[j][e] = 0;
  }
  const uint32_t rows = threadIdx.x / kWarpgroup * uint32_t(kBoxBytes / kConsumers);
  Ring before = ring;
  for (int step = tile.begin; step < tile.end; step++, ring.advance()) {
    mbarrier_wait(ring.full(), ring.parity);
    const uint64_t x = descriptor(ring.x() + rows), w = descriptor(ring.w(0));
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kDepth / 16; k++) wgmma(acc, x + uint64_t(k * 2), w + uint64_t(k * 2));
    wgmma_commit();
    wgmma_wait<1>();
    if (step > tile.begin) release(before);
    before = ring;
  }
  wgmma_wait<0>();
  release(before);
}

template <int kAcross>
SKRR_DEVICE void consume_tile(const Gemm& g, const Cut& cut, float scale, const Tile& tile, Ring& ring) {
  float acc[1][kAcross][4];
  multiply_tile(tile, ring, acc[0]);
  const int thread = int(threadIdx.x), lane = thread % 32;
  const Fragment at{tile.row + thread / 32 * 16 + lane / 4, tile.column + lane % 4 * 2};
  finish_tile(g, scale, cut.splits > 1 ? tile.split : kWhole, at, acc);
}

SKRR_DEVICE void consume(const Gemm& g, const Cut& cut, float scale, Ring ring) {
  for (int index = int(blockIdx.x); index < tile_count(cut); index += int(gridDim.x)) {
    const Tile tile = tile_at(cut, index);
    if (tile.boxes == 2) {
      consume_tile<32>(g, cut, scale, tile, ring);
    } else {
      consume_tile<16>(g, cut, scale, tile, ring);
    }
  }
}

// Registers: 168 for each thread at the start; the producer gives most of its own to the consumers' sums.
__global__ void __launch_bounds__(kThreads, 1)
    hopper_gemm_kernel(const SKRR_GRID_CONSTANT TensorMap x, Gemm g, Cut cut) {
  SKRR_SHARED_MEMORY(memory);
  const Step step = g.at.table[g.at.step];
  if (step.slot < 0) return;
  const Ring ring{shared_address(memory)};
  if (threadIdx.x == 0) init_barriers(ring);
  __syncthreads();

  if (threadIdx.x / kWarpgroup == kConsumers) {
    give_registers<40>();
    if (threadIdx.x % kWarpgroup == 0) {
      const TensorMap* w = &g.at.slots[step.slot].maps[g.out_weights ? 1 : 0];
      fence_tensor_map(w);
      produce(cut, ring, &x, w);
    }
  } else {
    take_registers<232>();
    consume(g, cut, step.scale, ring);
  }
}

}  // namespace

void hopper_gemm(Stream stream, const Gemm& g, const GemmPlan& plan) {
  const int left = g.n - plan.wide * 2 * kBoxRows;
  const Cut cut{(g.m + kBoxRows - 1) / kBoxRows, plan.wide, left > 0 ? (left + kBoxRows - 1) / kBoxRows : 0, plan.splits,
                (g.k + kDepth - 1) / kDepth};
  launch(stream, hopper_gemm_kernel, dim3(unsigned(plan.blocks)), dim3(kThreads), size_t(kSharedBytes),
         tensor_map(g.x, g.m, g.k), g, cut);
}

}  // namespace skrr::cuda
