// Self-attention over packed rows of unequal length: out = softmax(Q K^T + line) V for each sequence and head.
//
//   qkv [tokens, (heads + 2 key_heads) head_dim] bf16 (q, k, v of all heads one after the other), out [tokens, heads head_dim] bf16
//   A head has kHead elements in shared memory: those past head_dim are zeros there and nowhere else.
//   Logits are scale Q K^T, or softcap tanh(scale Q K^T / softcap); logits, softmax and sums are float32. Weights are rounded to
//   bf16 to multiply V.
//   The line is over the distance (index of key - index of query). Where an encoder has a distance table (kTable), the block
//   makes it in shared memory: table[bucket, head] within reach, -infinity past it; else distances are compared with the reach.
//   Nothing of size L x L exists; tiles of keys out of reach are left out.
//   Keys that are not visible have weight 0. A query that sees no key gets the mean of all values, or zeros (Reach::mean).
//   grid (64-query tiles of the longest sequence, heads, sequences), 4 warps of 16 queries; keys in tiles of 64, or of 32 where
//   heads are so wide that shared memory and registers would not do
//
// Online softmax: each thread keeps for its two queries the max logit m so far, l = sum of exp(logit - m) over its own
// keys and o = sum of exp(logit - m) v; a larger m rescales both. Meanwhile cp.async brings K and V of the next tile.
#include <climits>
#include <type_traits>

#include "cuda/fragment.cuh"
#include "cuda/kernels.h"
#include "cuda/swizzle.cuh"

namespace skrr::cuda {
namespace {

constexpr int kThreads = 128;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLowest = -1e30f;  // where a maximum starts: finite, so that no difference is infinity - infinity
constexpr float kNever = -INFINITY;
constexpr int kUniform = -1;       // in place of the index of a query that gets the mean of all values

template <int kHead>
struct Layout {
  static constexpr int kKeys = kHead > 128 ? 32 : 64;  // of a tile
  static constexpr int kRowBytes = kHead * 2;
  static constexpr int kTileBytes = kKeys * kRowBytes;
  static constexpr int kQ = 0, kK = kQueries * kRowBytes, kV = kK + 2 * kTileBytes;  // K and V twice
  static constexpr int kKeyIndices = kV + 2 * kTileBytes;                          // [2][kKeys] int
  static constexpr int kLine = kKeyIndices + 2 * kKeys * 4;                        // [2 span + 1] float
};

// The sequence and head a block works on.
struct Head {
  const bf16 *q, *k, *v;     // of its first token
  const int* key_indices;  // of its first token
  int stride;                // between tokens
  int length;
  int width;                 // of the head in global memory
};

// Copies rows [first, first + kRows); rows past the sequence and columns past the head become zeros.
template <int kHead, int kRows>
SKRR_DEVICE void copy_rows(uint32_t shared, const bf16* rows, int first, const Head& head) {
  constexpr int kChunks = kHead / 8;
#pragma unroll 4  // all eight, at 128 columns, keep so many addresses that sm_80 spills
  for (int i = 0; i < kRows * kChunks / kThreads; i++) {
    const int index = int(threadIdx.x) + i * kThreads, row = index / kChunks, chunk = index % kChunks;
    const bool valid = first + row < head.length && chunk * 8 < head.width;
    const bf16* source = valid ? rows + size_t(first + row) * size_t(head.stride) + chunk * 8 : rows;
    cp_async_16(shared + swizzled<kHead * 2>(row, chunk), source, valid);
  }
}

// Copies K, V and the keys' indices of one tile into half `buffer` of their places.
template <int kHead>
SKRR_DEVICE void copy_tile(unsigned char* memory, int buffer, int first, const Head& head) {
  using L = Layout<kHead>;
  copy_rows<kHead, L::kKeys>(shared_address(memory + L::kK + buffer * L::kTileBytes), head.k, first, head);
  copy_rows<kHead, L::kKeys>(shared_address(memory + L::kV + buffer * L::kTileBytes), head.v, first, head);
  cp_async_commit();
  const int key = int(threadIdx.x);
  if (key < L::kKeys) {
    int* indices = reinterpret_cast<int*>(memory + L::kKeyIndices) + buffer * L::kKeys;
    indices[key] = first + key < head.length ? head.key_indices[first + key] : -1;
  }
}

// Writes the line over the distance, from -span to span.
SKRR_DEVICE void expand_line(float* line, const float* table, const int* buckets, int span, int heads, int head) {
  for (int d = int(threadIdx.x); d < 2 * span + 1; d += kThreads) {
    const int bucket = buckets[d];
    line[d] = bucket == kOutOfReach ? kNever : table ? table[bucket * heads + head] : 0;
  }
}

// Tiles [first, last) of keys that 64 queries reach, counted in rows. Positions ascend by 1 or more a row, so a row out of
// reach is out of reach by index too.
template <int kKeys>
struct KeyTiles {
  int first, last;
  SKRR_DEVICE KeyTiles(const Reach& reach, int query, int length) {
    first = reach.back < 0 || query < reach.back ? 0 : (query - reach.back) / kKeys;
    last = (length + kKeys - 1) / kKeys;
    if (reach.ahead < 0 || reach.ahead >= length) return;
    const int reached = (query + kQueries - 1 + reach.ahead) / kKeys + 1;
    if (reached < last) last = reached;
  }
  SKRR_DEVICE explicit KeyTiles(int length) : first(0), last((length + kKeys - 1) / kKeys) {}
};

// A warp's 16 queries as fragments: in registers, or, where a head is too wide for that, loaded each time.
template <int kHead>
struct Queries {
  static constexpr bool kKept = kHead <= 128;
  uint32_t kept[kKept ? kHead / 16 : 1][4];
  uint32_t tile;  // the address of Q
  int row;        // of this lane

  SKRR_DEVICE void load() {
#pragma unroll
    for (int d = 0; kKept && d < kHead / 16; d++) load(d, kept[d]);
  }
  SKRR_DEVICE void load(int d, uint32_t (&q)[4]) const {
    ldmatrix_x4(q, tile + swizzled<kHead * 2>(row, d * 2 + int(threadIdx.x) % 32 / 16));
  }
};

// s += Q K^T over 16 of a head's elements.
template <int kHead, int kAcross>
SKRR_DEVICE void multiply_slice(float (&s)[kAcross][4], const uint32_t (&q)[4], int d, uint32_t k_tile) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kAcross / 2; j++) {
    uint32_t k[4];
    ldmatrix_x4(k, k_tile + swizzled<kHead * 2>(j * 16 + lane / 16 * 8 + lane % 8, d * 2 + lane / 8 % 2));
    mma_bf16(s[2 * j], q, k[0], k[1]);
    mma_bf16(s[2 * j + 1], q, k[2], k[3]);
  }
}

// s [16 queries, keys] = Q K^T. s[j] holds keys 8 j to 8 j + 7 as a fragment of mma.sync.
template <int kHead, int kAcross>
SKRR_DEVICE void multiply_keys(float (&s)[kAcross][4], const Queries<kHead>& queries, uint32_t k_tile) {
#pragma unroll
  for (int j = 0; j < kAcross; j++) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
#pragma unroll(Queries<kHead>::kKept ? kHead / 16 : 2)
  for (int d = 0; d < kHead / 16; d++) {
    if constexpr (Queries<kHead>::kKept) {
      multiply_slice<kHead>(s, queries.kept[d], d, k_tile);
    } else {
      uint32_t q[4];
      queries.load(d, q);
      multiply_slice<kHead>(s, q, d, k_tile);
    }
  }
}

// o [16 queries, kHead] += p V. mma.sync takes its left operand as it leaves its sums, so the weights p stay in registers.
template <int kHead, int kAcross>
SKRR_DEVICE void multiply_values(float (&o)[kHead / 8][4], const float (&p)[kAcross][4], uint32_t v_tile) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kAcross / 2; j++) {
    const uint32_t weights[4] = {pack_bf16x2(p[2 * j][0], p[2 * j][1]), pack_bf16x2(p[2 * j][2], p[2 * j][3]),
                                 pack_bf16x2(p[2 * j + 1][0], p[2 * j + 1][1]),
                                 pack_bf16x2(p[2 * j + 1][2], p[2 * j + 1][3])};
#pragma unroll
    for (int d = 0; d < kHead / 16; d++) {
      uint32_t v[4];
      ldmatrix_x4_trans(v, v_tile + swizzled<kHead * 2>(j * 16 + lane % 16, d * 2 + lane / 16));
      mma_bf16(o[2 * d], weights, v[0], v[1]);
      mma_bf16(o[2 * d + 1], weights, v[2], v[3]);
    }
  }
}

// The line as it lies in shared memory.
struct TableLine {
  const float* at_zero;  // at_zero[d] for distances d in [-span, span]
  int span;
  SKRR_DEVICE float added(float logit, float scale, int distance) const {
    const int d = distance < -span ? -span : distance > span ? span : distance;
    return fmaf(logit, scale, at_zero[d]);
  }
};

// The line where no encoder's table is: 0 within reach.
struct ReachLine {
  int ahead, back;
  SKRR_DEVICE explicit ReachLine(const Reach& reach)
      : ahead(reach.ahead < 0 ? INT_MAX : reach.ahead), back(reach.back < 0 ? INT_MAX : reach.back) {}
  SKRR_DEVICE float added(float logit, float scale, int distance) const {
    return distance <= ahead && distance >= -back ? logit * scale : kNever;
  }
};

// s = softcap tanh(scale s / softcap)
template <int kAcross>
SKRR_DEVICE void cap_logits(float (&s)[kAcross][4], float scale, float softcap) {
  const float twice = 2 * kLog2E * scale / softcap;
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
#pragma unroll
    for (int e = 0; e < 4; e++) s[j][e] = softcap - 2 * softcap * reciprocal_approx(1.0f + exp2_approx(s[j][e] * twice));
  }
}

// Scales, adds the line and masks. All logits of a query at kUniform become 0 instead, so that all values weigh alike. It always
// masks keys past the end. The line of a key that is not seen is looked up too: a choice costs less than a branch.
template <int kAcross, class Line>
SKRR_DEVICE void add_line_and_mask(float (&s)[kAcross][4], const int* key_indices, const int (&queries)[2], const Line& line,
                                   float scale, int keys_left) {
  const int pair = fragment_column();
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int key = j * 8 + pair + e, index = key_indices[key];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float& score = s[j][r * 2 + e];
        const float biased = line.added(score, scale, index - queries[r]), uniform = key < keys_left ? 0.0f : kNever;
        const float seen = index >= 0 ? biased : kNever;
        score = queries[r] == kUniform ? uniform : seen;
      }
    }
  }
}

// s -> weights exp(s - m), with the new m; l and o follow.
template <int kHead, int kAcross>
SKRR_DEVICE void online_softmax(float (&s)[kAcross][4], float (&m)[2], float (&l)[2], float (&o)[kHead / 8][4]) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float max = m[r];
#pragma unroll
    for (int j = 0; j < kAcross; j++) max = fmaxf(max, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 1));  // the four threads that share a query
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));
    const float rescale = exp2_approx((m[r] - max) * kLog2E);
    m[r] = max;
    l[r] *= rescale;
#pragma unroll
    for (int d = 0; d < kHead / 8; d++) o[d][2 * r] *= rescale, o[d][2 * r + 1] *= rescale;
#pragma unroll
    for (int j = 0; j < kAcross; j++) {
#pragma unroll
      for (int e = 2 * r; e < 2 * r + 2; e++) {
        s[j][e] = exp2_approx((s[j][e] - max) * kLog2E);
        l[r] += s[j][e];
      }
    }
  }
}

// Stores the rows inside the sequence. A query that saw no key (l is 0) gets zeros.
template <int kHead>
SKRR_DEVICE void store_rows(bf16* out, int stride, int first_row, const Head& head, float (&l)[2], float (&o)[kHead / 8][4]) {
  const Fragment at = fragment_at(first_row, 0);
#pragma unroll
  for (int r = 0; r < 2; r++) {
    l[r] += __shfl_xor_sync(0xffffffffu, l[r], 1);
    l[r] += __shfl_xor_sync(0xffffffffu, l[r], 2);
    const float factor = l[r] == 0 ? 0.0f : 1.0f / l[r];
    const int row = at.row + r * 8;
    if (row < head.length) {
      uint32_t* to = reinterpret_cast<uint32_t*>(out + size_t(row) * size_t(stride) + at.column);
#pragma unroll
      for (int d = 0; d < kHead / 8; d++) {
        if (d * 8 < head.width) to[d * 4] = pack_bf16x2(o[d][2 * r] * factor, o[d][2 * r + 1] * factor);
      }
    }
  }
}

// The block's sequence and head.
SKRR_DEVICE Head head_of(const AttentionCall& a) {
  const auto [heads, key_heads, width] = a.heads;
  const int start = a.rows.starts[blockIdx.z], stride = (heads + 2 * key_heads) * width, h = int(blockIdx.y);
  const bf16* first = a.qkv + size_t(start) * size_t(stride);
  const bf16* k = first + (heads + h / (heads / key_heads)) * width;
  return {first + h * width, k, k + key_heads * width, a.rows.key_indices + start, stride, a.rows.starts[blockIdx.z + 1] - start, width};
}

// What a block works on, and its part of shared memory.
template <int kHead>
struct Block {
  const AttentionCall& call;
  const Slot& slot;
  const Head& head;
  unsigned char* memory;
  KeyTiles<Layout<kHead>::kKeys> tiles;
  bool mean;            // a query of the block sees no key and gets the mean of all values
  const int* unseeing;  // of the sequence's first token

  SKRR_DEVICE int first_query() const { return int(blockIdx.x) * kQueries; }
  SKRR_DEVICE int start() const { return call.rows.starts[blockIdx.z]; }
  SKRR_DEVICE int index_of(int row) const {
    if (row >= head.length) return 0;
    return mean && (unseeing[row] & kSeesNone) != 0 ? kUniform : call.rows.indices[start() + row];
  }
};

template <int kHead, class Line>
SKRR_DEVICE void attend(const Block<kHead>& b, const Line& line) {
  using L = Layout<kHead>;
  const int warp_row = b.first_query() + int(threadIdx.x) / 32 * 16, row = fragment_at(warp_row, 0).row;
  const int indices[2] = {b.index_of(row), b.index_of(row + 8)};  // of this lane's queries
  const float softcap = b.slot.softcap, scale = b.slot.scale;
  Queries<kHead> queries;
  queries.tile = shared_address(b.memory + L::kQ), queries.row = warp_row - b.first_query() + int(threadIdx.x) % 16;
  float o[kHead / 8][4] = {}, m[2] = {kLowest, kLowest}, l[2] = {0, 0};
  const int first_key = b.tiles.first * L::kKeys, end = b.tiles.last * L::kKeys;
  for (int key = first_key, buffer = 0; key < end; key += L::kKeys, buffer ^= 1) {
    cp_async_wait<0>();
    __syncthreads();
    if (key == first_key) queries.load();
    if (key + L::kKeys < end) copy_tile<kHead>(b.memory, buffer ^ 1, key + L::kKeys, b.head);
    float s[L::kKeys / 8][4];
    multiply_keys(s, queries, shared_address(b.memory + L::kK + buffer * L::kTileBytes));
    if (softcap > 0) cap_logits(s, scale, softcap);
    add_line_and_mask(s, reinterpret_cast<const int*>(b.memory + L::kKeyIndices) + buffer * L::kKeys, indices, line,
                      softcap > 0 ? 1.0f : scale, b.head.length - key);
    online_softmax<kHead>(s, m, l, o);
    multiply_values<kHead>(o, s, shared_address(b.memory + L::kV + buffer * L::kTileBytes));
  }
  const int inner = b.call.heads.heads * b.head.width;
  bf16* out = b.call.out + size_t(b.start()) * size_t(inner) + size_t(int(blockIdx.y) * b.head.width);
  store_rows<kHead>(out, inner, warp_row, b.head, l, o);
}

template <int kHead, bool kTable>
__global__ void __launch_bounds__(kThreads, 2) attention_kernel(AttentionCall a) {
  using L = Layout<kHead>;
  using Tiles = KeyTiles<L::kKeys>;
  SKRR_SHARED_MEMORY(memory);
  const Step step = a.at.table[a.at.step];
  if (step.slot < 0) return;
  const Head head = head_of(a);
  const int first_query = int(blockIdx.x) * kQueries;
  if (first_query >= head.length) return;

  const Slot& slot = a.at.slots[step.slot];
  // A query that gets the mean of all values needs all tiles.
  const int* unseeing = a.rows.unseeing + slot.reach.distance * a.rows.tokens + a.rows.starts[blockIdx.z];
  const bool mean = slot.reach.mean && (unseeing[first_query] & kSomeSeeNone) != 0;
  const Tiles tiles = mean ? Tiles(head.length) : Tiles(slot.reach, first_query, head.length);

  copy_rows<kHead, kQueries>(shared_address(memory + L::kQ), head.q, first_query, head);
  copy_tile<kHead>(memory, 0, tiles.first * L::kKeys, head);
  const Block<kHead> block{a, slot, head, memory, tiles, mean, unseeing};
  if constexpr (kTable) {
    const int span = a.rows.span;
    float* line = reinterpret_cast<float*>(memory + L::kLine);
    expand_line(line, slot.distance, a.rows.buckets + slot.reach.distance * (2 * span + 1), span, a.heads.heads, int(blockIdx.y));
    attend(block, TableLine{line + span, span});
  } else {
    attend(block, ReachLine(slot.reach));
  }
}

// Calls use(a number that holds head_dim, as a constant).
template <class Use>
auto with_head(int head_dim, Use use) {
  if (head_dim <= 32) return use(std::integral_constant<int, 32>());
  if (head_dim <= 64) return use(std::integral_constant<int, 64>());
  if (head_dim <= 128) return use(std::integral_constant<int, 128>());
  return use(std::integral_constant<int, kMaxHeadDim>());
}

}  // namespace

size_t attention_shared_memory(int head_dim, int span, bool table) {
  const size_t line = table ? (2 * size_t(span) + 1) * sizeof(float) : 0;
  return with_head(head_dim, [&](auto head) { return size_t(Layout<head.value>::kLine) + line; });
}

void attention(Stream stream, const AttentionCall& a) {
  const dim3 grid(unsigned((a.rows.longest + kQueries - 1) / kQueries), unsigned(a.heads.heads), unsigned(a.rows.sequences));
  const size_t shared = attention_shared_memory(a.heads.head_dim, a.rows.span, a.table);
  with_head(a.heads.head_dim, [&](auto head) {
    launch(stream, a.table ? attention_kernel<head.value, true> : attention_kernel<head.value, false>, grid, dim3(kThreads), shared, a);
  });
}

}  // namespace skrr::cuda
