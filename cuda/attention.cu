// Self-attention over packed rows of unequal length: out = softmax(Q K^T + line) V for each sequence and head.
//
//   qkv [tokens, 3 heads kHead] bf16 (q, k, v of all heads one after the other), out [tokens, heads kHead] bf16
//   Logits are not scaled by 1 / sqrt(d); logits, softmax and sums are float32. Weights are rounded to bf16 to multiply V.
//   The block makes the line over the distance (index of key - index of query) in shared memory from the distance table:
//   bias[bucket, head] within reach, -infinity past it. Nothing of size L x L exists; tiles of keys out of reach are left out.
//   Keys that are not visible have weight 0. A query that sees no key gets the mean of all values, or zeros (Reach::mean).
//   grid (64-query tiles of the longest sequence, heads, sequences), 4 warps of 16 queries; keys in tiles of 64
//
// Online softmax: each thread keeps for its two queries the max logit m so far, l = sum of exp(logit - m) over its own
// keys and o = sum of exp(logit - m) v; a larger m rescales both. Meanwhile cp.async brings K and V of the next tile.
#include "cuda/fragment.cuh"
#include "cuda/kernels.h"
#include "cuda/swizzle.cuh"

namespace skrr::cuda {
namespace {

constexpr int kQueries = 64, kKeys = 64, kThreads = 128;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLowest = -1e30f;  // where a maximum starts: finite, so that no difference is infinity - infinity
constexpr float kNever = -INFINITY;
constexpr int kUniform = -1;       // in place of the index of a query that gets the mean of all values

template <int kHead>
struct Layout {
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
};

// Copies rows [first, first + kKeys) of kHead elements; rows past the sequence become zeros.
template <int kHead>
SKRR_DEVICE void copy_rows(uint32_t shared, const bf16* rows, int first, const Head& head) {
  constexpr int kChunks = kHead / 8;
#pragma unroll 4  // all eight, at 128 columns, keep so many addresses that sm_80 spills
  for (int i = 0; i < kKeys * kChunks / kThreads; i++) {
    const int index = int(threadIdx.x) + i * kThreads, row = index / kChunks, chunk = index % kChunks;
    const bool valid = first + row < head.length;
    const bf16* source = valid ? rows + size_t(first + row) * size_t(head.stride) + chunk * 8 : rows;
    cp_async_16(shared + swizzled<kHead * 2>(row, chunk), source, valid);
  }
}

// Copies K, V and the keys' indices of one tile into half `buffer` of their places.
template <int kHead>
SKRR_DEVICE void copy_tile(unsigned char* memory, int buffer, int first, const Head& head) {
  using L = Layout<kHead>;
  copy_rows<kHead>(shared_address(memory + L::kK + buffer * L::kTileBytes), head.k, first, head);
  copy_rows<kHead>(shared_address(memory + L::kV + buffer * L::kTileBytes), head.v, first, head);
  cp_async_commit();
  const int key = int(threadIdx.x);
  if (key < kKeys) {
    int* indices = reinterpret_cast<int*>(memory + L::kKeyIndices) + buffer * kKeys;
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

// s [16 queries, 64 keys] = Q K^T. s[j] holds keys 8 j to 8 j + 7 as a fragment of mma.sync.
template <int kHead>
SKRR_DEVICE void multiply_keys(float (&s)[kKeys / 8][4], const uint32_t (&q)[kHead / 16][4], uint32_t k_tile) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kKeys / 8; j++) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
#pragma unroll
  for (int d = 0; d < kHead / 16; d++) {
#pragma unroll
    for (int j = 0; j < kKeys / 16; j++) {
      uint32_t k[4];
      ldmatrix_x4(k, k_tile + swizzled<kHead * 2>(j * 16 + lane / 16 * 8 + lane % 8, d * 2 + lane / 8 % 2));
      mma_bf16(s[2 * j], q[d], k[0], k[1]);
      mma_bf16(s[2 * j + 1], q[d], k[2], k[3]);
    }
  }
}

// o [16 queries, kHead] += p V. mma.sync takes its left operand as it leaves its sums, so the weights p stay in registers.
template <int kHead>
SKRR_DEVICE void multiply_values(float (&o)[kHead / 8][4], const float (&p)[kKeys / 8][4], uint32_t v_tile) {
  const int lane = int(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < kKeys / 16; j++) {
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

struct Line {
  const float* at_zero;  // at_zero[d] for distances d in [-span, span]
  int span;
  SKRR_DEVICE float operator()(int distance) const {
    const int d = distance < -span ? -span : distance > span ? span : distance;
    return at_zero[d];
  }
};

// Adds the line and masks. All logits of a query at kUniform become 0 instead, so that all values weigh alike. It always masks
// keys past the end.
SKRR_DEVICE void add_line_and_mask(float (&s)[kKeys / 8][4], const int* key_indices, const int (&queries)[2],
                                   const Line& line, int keys_left) {
  const int pair = fragment_column();
#pragma unroll
  for (int j = 0; j < kKeys / 8; j++) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int key = j * 8 + pair + e, index = key_indices[key];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float& score = s[j][r * 2 + e];
        if (queries[r] == kUniform) {
          score = key < keys_left ? 0 : kNever;
        } else {
          score = index >= 0 ? score + line(index - queries[r]) : kNever;
        }
      }
    }
  }
}

// s -> weights exp(s - m), with the new m; l and o follow.
template <int kHead>
SKRR_DEVICE void online_softmax(float (&s)[kKeys / 8][4], float (&m)[2], float (&l)[2], float (&o)[kHead / 8][4]) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float max = m[r];
#pragma unroll
    for (int j = 0; j < kKeys / 8; j++) max = fmaxf(max, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 1));  // the four threads that share a query
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));
    const float rescale = exp2_approx((m[r] - max) * kLog2E);
    m[r] = max;
    l[r] *= rescale;
#pragma unroll
    for (int d = 0; d < kHead / 8; d++) o[d][2 * r] *= rescale, o[d][2 * r + 1] *= rescale;
#pragma unroll
    for (int j = 0; j < kKeys / 8; j++) {
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
SKRR_DEVICE void store_rows(bf16* out, int stride, int first_row, int length, float (&l)[2], float (&o)[kHead / 8][4]) {
  const Fragment at = fragment_at(first_row, 0);
#pragma unroll
  for (int r = 0; r < 2; r++) {
    l[r] += __shfl_xor_sync(0xffffffffu, l[r], 1);
    l[r] += __shfl_xor_sync(0xffffffffu, l[r], 2);
    const float factor = l[r] == 0 ? 0.0f : 1.0f / l[r];
    const int row = at.row + r * 8;
    if (row < length) {
      uint32_t* to = reinterpret_cast<uint32_t*>(out + size_t(row) * size_t(stride) + at.column);
#pragma unroll
      for (int d = 0; d < kHead / 8; d++) to[d * 4] = pack_bf16x2(o[d][2 * r] * factor, o[d][2 * r + 1] * factor);
    }
  }
}

template <int kHead>
__global__ void __launch_bounds__(kThreads, 2) attention_kernel(AttentionCall a) {
  using L = Layout<kHead>;
  SKRR_SHARED_MEMORY(memory);
  const Step step = a.at.table[a.at.step];
  if (step.slot < 0) return;
  const int start = a.rows.starts[blockIdx.z], length = a.rows.starts[blockIdx.z + 1] - start;
  const int first_query = int(blockIdx.x) * kQueries;
  if (first_query >= length) return;

  const Slot& slot = a.at.slots[step.slot];
  const int inner = a.heads * kHead, h = int(blockIdx.y), span = a.rows.span;
  const bf16* first = a.qkv + size_t(start) * size_t(3 * inner) + size_t(h * kHead);
  const Head head{first, first + inner, first + 2 * inner, a.rows.key_indices + start, 3 * inner, length};
  float* line = reinterpret_cast<float*>(memory + L::kLine);
  // A query that gets the mean of all values needs all tiles.
  const int* unseeing = a.rows.unseeing + slot.reach.distance * a.rows.tokens + start;
  const bool mean = slot.reach.mean && (unseeing[0] & kSomeSeeNone) != 0;
  const KeyTiles tiles = mean ? KeyTiles(length) : KeyTiles(slot.reach, first_query, length);

  copy_rows<kHead>(shared_address(memory + L::kQ), head.q, first_query, head);
  copy_tile<kHead>(memory, 0, tiles.first * kKeys, head);
  expand_line(line, slot.bias, a.rows.buckets + slot.reach.distance * (2 * span + 1), span, a.heads, h);

  const int lane = int(threadIdx.x) % 32, warp_row = first_query + int(threadIdx.x) / 32 * 16;
  int queries[2];  // their indices
  for (int r = 0; r < 2; r++) {
    const int row = fragment_at(warp_row, 0).row + r * 8;
    queries[r] = row < length ? a.rows.indices[start + row] : 0;
    if (mean && row < length && (unseeing[row] & kSeesNone) != 0) queries[r] = kUniform;
  }
  uint32_t q_fragments[kHead / 16][4];
  float o[kHead / 8][4] = {}, m[2] = {kLowest, kLowest}, l[2] = {0, 0};
  const int first_key = tiles.first * kKeys, end = tiles.last * kKeys;
  for (int key = first_key, buffer = 0; key < end; key += kKeys, buffer ^= 1) {
    cp_async_wait<0>();
    __syncthreads();
    if (key == first_key) {
#pragma unroll
      for (int d = 0; d < kHead / 16; d++) {
        const int row = warp_row - first_query + lane % 16;
        ldmatrix_x4(q_fragments[d], shared_address(memory + L::kQ) + swizzled<L::kRowBytes>(row, d * 2 + lane / 16));
      }
    }
    if (key + kKeys < end) copy_tile<kHead>(memory, buffer ^ 1, key + kKeys, head);
    float s[kKeys / 8][4];
    multiply_keys<kHead>(s, q_fragments, shared_address(memory + L::kK + buffer * L::kTileBytes));
    add_line_and_mask(s, reinterpret_cast<const int*>(memory + L::kKeyIndices) + buffer * kKeys, queries,
                      {line + span, span}, length - key);
    online_softmax<kHead>(s, m, l, o);
    multiply_values<kHead>(o, s, shared_address(memory + L::kV + buffer * L::kTileBytes));
  }
  store_rows<kHead>(a.out + size_t(start) * size_t(inner) + size_t(h * kHead), inner, warp_row, length, l, o);
}

template <int kHead>
void launch_head(Stream stream, const AttentionCall& a) {
  const dim3 grid(unsigned((a.rows.longest + kQueries - 1) / kQueries), unsigned(a.heads), unsigned(a.rows.sequences));
  launch(stream, attention_kernel<kHead>, grid, dim3(kThreads), attention_shared_memory(kHead, a.rows.span), a);
}

}  // namespace

size_t attention_shared_memory(int head_dim, int span) {
  const size_t line = (2 * size_t(span) + 1) * sizeof(float);
  switch (head_dim) {
    case 32: return size_t(Layout<32>::kLine) + line;
    case 64: return size_t(Layout<64>::kLine) + line;
    default: return size_t(Layout<128>::kLine) + line;
  }
}

void attention(Stream stream, const AttentionCall& a) {
  switch (a.head_dim) {
    case 32: return launch_head<32>(stream, a);
    case 64: return launch_head<64>(stream, a);
    case 128: return launch_head<128>(stream, a);
  }
}

}  // namespace skrr::cuda
