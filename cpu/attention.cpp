// Self-attention of T5: unscaled logits (no 1/sqrt(d)), a relative-position bias, softmax in float32.
#include "cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu/cpu_backend.h"
#include "cpu/stream.h"
#include "engine/bench.h"

namespace skrr::cpu {
namespace {

// One head of one sequence: views into the packed batch.
struct Head {
  int n;           // tokens of the sequence
  int head_dim;
  int64_t stride;  // between tokens in q, k, v
  const float *q, *k, *v;
  const int32_t* positions;  // [n]
  const uint8_t* visible;    // [n]
  bool any_visible;
  bool plain;         // every key visible and one position after the other: nearly always
  const float* bias;  // bias[position of query - position of key]
  float* out;         // [n, head_dim], rows out_stride apart
  int64_t out_stride;
};

// Hides keys, and adds the bias where positions are not in order. scores [n][columns], of queries from `first` on.
void mask(const Head& head, int first, int queries, int columns, float* scores) {
  for (int key = 0; key < head.n; key++, scores += columns) {
    if (!head.any_visible) {
      std::fill_n(scores, columns, 0.0f);  // uniform, as Hugging Face's finfo.min makes it
    } else if (!head.visible[key]) {
      std::fill_n(scores, columns, -std::numeric_limits<float>::infinity());
    } else {
      const int32_t* query = head.positions + first;
      for (int c = 0; c < queries; c++) scores[c] += head.bias[query[c] - head.positions[key]];
    }
  }
}

bool is_plain(const int32_t* positions, const uint8_t* visible, int n) {
  if (std::memchr(visible, 0, size_t(n))) return false;
  for (int t = 1; t < n; t++) {
    if (positions[t] != positions[0] + t) return false;
  }
  return true;
}

// V [n, head_dim] as the left operand V^T: [tile of head_dim][key][f32.rows].
void pack_values(const TileKernel& f32, const Head& head, float* packed) {
  for (int d = 0; d < head.head_dim; d += f32.rows) {
    const int valid = std::min(f32.rows, head.head_dim - d);
    for (int key = 0; key < head.n; key++, packed += f32.rows) {
      const float* v = head.v + key * head.stride + d;
      for (int i = 0; i < f32.rows; i++) packed[i] = i < valid ? v[i] : 0.0f;
    }
  }
}

// out [queries, head_dim] = mixed^T, its rows times scales. mixed [head_dim][columns]; tile: room for a square of columns.
void write_out(const TileKernel& f32, const Head& head, int first, int queries, const float* mixed, const float* scales,
               float* tile) {
  for (int d = 0; d < head.head_dim; d += f32.columns) {
    const int valid = std::min(f32.columns, head.head_dim - d);
    f32.pack_b(mixed + d * f32.columns, valid, queries, f32.columns, 1, tile);
    for (int q = 0; q < queries; q++) {
      float* out = head.out + (first + q) * head.out_stride + d;
      for (int i = 0; i < valid; i++) out[i] = tile[q * f32.columns + i] * scales[q];
    }
  }
}

void attend(const Kernels& kernels, const Head& head, const AttentionScratch& layout, float* scratch) {
  const TileKernel& f32 = kernels.f32;
  float* k_rows = scratch;
  float* v_rows = k_rows + layout.k_rows;
  float* query = v_rows + layout.v_rows;
  float* scores = query + layout.query;
  float* mixed = scores + layout.scores;
  float* tile = mixed + layout.mixed;
  float scales[kMostColumns];

  for (int key = 0; key < head.n; key += f32.rows) {
    const int valid = std::min(f32.rows, head.n - key);
    f32.pack_a(head.k + key * head.stride, valid, head.head_dim, head.stride, k_rows + key * head.head_dim);
  }
  pack_values(f32, head, v_rows);
  for (int first = 0; first < head.n; first += f32.columns) {
    const int queries = std::min(f32.columns, head.n - first);
    f32.pack_b(head.q + first * head.stride, queries, head.head_dim, head.stride, 1, query);
    f32.multiply(k_rows, query, nullptr, 0, head.n, head.head_dim, false, scores);
    if (!head.plain) mask(head, first, queries, f32.columns, scores);
    kernels.softmax(scores, head.n, head.plain ? head.bias + first : nullptr, scales);
    f32.multiply(v_rows, scores, nullptr, 0, head.head_dim, head.n, false, mixed);
    write_out(f32, head, first, queries, mixed, scales, tile);
  }
}

}  // namespace

// h += scale * o(softmax(q k^T + bias) v), q|k|v = W norm(h)
void CpuBackend::attention(const SubBlock& weights, float scale, CpuStates& s, const CancelFlag& cancel) {
  const int columns = weights.in.kernel().columns;
  const int inner = geometry_.inner();
  const int64_t part = ceil_div(inner, columns) * columns;  // q, k and v each take whole panels of a row
  const int64_t stride = 3 * part;
  wide_.reserve(size_t(s.tokens() * stride) * sizeof(float));
  mixed_.reserve(size_t(s.tokens()) * size_t(inner) * sizeof(float));
  float* qkv = wide_.as<float>();
  float* mixed = mixed_.as<float>();

  pack_normed(weights, s, cancel);
  context_.finished(bench::kNorm);
  multiply<1>(context_, rows_, weights.in, cancel, [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
    for (int r = 0; r < rows; r++) {
      stream(tiles[0] + r * columns, columns, qkv + (first_row + r) * stride + panel * columns);
    }
  });
  context_.finished(bench::kQkv);

  const PositionBias bias(weights.bias.empty() ? bias_ : weights.bias, geometry_.heads, geometry_.buckets,
                          geometry_.max_distance, s.longest, context_.kernels.f32.columns);
  const int sequences = int(s.starts.size()) - 1;
  context_.pool.run(sequences * geometry_.heads, cancel, [&](int task, int worker) {
    const int sequence = task / geometry_.heads, h = task % geometry_.heads;
    const int64_t first = s.starts[size_t(sequence)];
    const int n = int(s.starts[size_t(sequence) + 1] - first);
    const uint8_t* visible = &s.visible[size_t(first)];
    const float* q = qkv + first * stride + h * geometry_.head_dim;
    const Head head{n,
                    geometry_.head_dim,
                    stride,
                    q,
                    q + part,
                    q + 2 * part,
                    &s.positions[size_t(first)],
                    visible,
                    std::memchr(visible, 1, size_t(n)) != nullptr,
                    is_plain(&s.positions[size_t(first)], visible, n),
                    bias.of_head(h),
                    mixed + first * inner + h * geometry_.head_dim,
                    inner};
    const AttentionScratch layout(context_.kernels.f32, n, geometry_.head_dim);
    attend(context_.kernels, head, layout, context_.borrow(worker, layout.floats()));
  });
  context_.finished(bench::kAttend);

  const size_t inner_bytes = size_t(inner) * sizeof(float);
  rows_.pack(context_, weights.out.kernel(), s.tokens(), inner, cancel,
             [&](int64_t r, float* out) { std::memcpy(out, mixed + r * inner, inner_bytes); });
  add_product(weights.out, scale, s, cancel);
  context_.finished(bench::kO);
}

}  // namespace skrr::cpu
