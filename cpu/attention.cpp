// Self-attention of T5: unscaled logits (no 1/sqrt(d)), a relative-position bias, softmax in float32.
#include "cpu/attention.h"

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
  const float* bias;  // bias[d] at distance d = position of key - position of query
  float* out;         // [n, head_dim], rows out_stride apart
  int64_t out_stride;
};

// Adds the bias to one row of scores and masks it.
void bias_and_mask(const Head& head, int query, float* scores) {
  if (!head.any_visible) {
    std::memset(scores, 0, size_t(head.n) * sizeof(float));  // uniform, as Hugging Face's finfo.min makes it
    return;
  }
  if (head.plain) {
    const float* bias = head.bias - query;
    for (int key = 0; key < head.n; key++) scores[key] += bias[key];
    return;
  }
  for (int key = 0; key < head.n; key++) {
    const float score = scores[key] + head.bias[head.positions[key] - head.positions[query]];
    scores[key] = head.visible[key] ? score : -std::numeric_limits<float>::infinity();
  }
}

bool is_plain(const int32_t* positions, const uint8_t* visible, int n) {
  if (std::memchr(visible, 0, size_t(n))) return false;
  for (int t = 1; t < n; t++) {
    if (positions[t] != positions[0] + t) return false;
  }
  return true;
}

// tile -> rows of a matrix; `valid` columns of each.
void copy_tile(const TileKernel& kernel, const float* tile, int rows, int64_t valid, float* out, int64_t stride) {
  for (int r = 0; r < rows; r++) {
    std::memcpy(out + r * stride, tile + r * kernel.columns, size_t(valid) * sizeof(float));
  }
}

void attend(const Kernels& kernels, const Head& head, const AttentionScratch& layout, float* scratch) {
  const TileKernel& f32 = kernels.f32;
  float* k_panels = scratch;
  float* v_panels = k_panels + layout.k_panels;
  float* query = v_panels + layout.v_panels;
  float* scores = query + layout.query;
  float* weights = scores + layout.scores;
  float* tile = weights + layout.weights;

  for (int64_t key = 0; key < head.n; key += f32.columns) {
    const int valid = int(std::min<int64_t>(f32.columns, head.n - key));
    f32.pack_b(head.k + key * head.stride, valid, head.head_dim, head.stride, 1, k_panels + key * head.head_dim);
  }
  for (int64_t d = 0; d < head.head_dim; d += f32.columns) {  // V transposed: its columns are the outputs
    const int valid = int(std::min<int64_t>(f32.columns, head.head_dim - d));
    f32.pack_b(head.v + d, valid, head.n, 1, head.stride, v_panels + d * head.n);
  }
  for (int first = 0; first < head.n; first += f32.rows) {
    const int rows = std::min(f32.rows, head.n - first);
    f32.pack_a(head.q + first * head.stride, rows, head.head_dim, head.stride, query);
    for (int64_t key = 0; key < head.n; key += f32.columns) {
      f32.multiply(query, k_panels + key * head.head_dim, nullptr, 0, rows, head.head_dim, false, tile);
      copy_tile(f32, tile, rows, f32.columns, scores + key, layout.keys);
    }
    for (int r = 0; r < rows; r++) {
      bias_and_mask(head, first + r, scores + r * layout.keys);
      kernels.softmax(scores + r * layout.keys, head.n);
    }
    f32.pack_a(scores, rows, head.n, layout.keys, weights);
    for (int64_t d = 0; d < head.head_dim; d += f32.columns) {
      const int64_t valid = std::min<int64_t>(f32.columns, head.head_dim - d);
      f32.multiply(weights, v_panels + d * head.n, nullptr, 0, rows, head.n, false, tile);
      copy_tile(f32, tile, rows, valid, head.out + first * head.out_stride + d, head.out_stride);
    }
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
                          geometry_.max_distance, s.longest);
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
