// Self-attention: softmax of logits and the line over key - query, in float32.
#include "cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/cpu_backend.h"
#include "cpu/distance_line.h"
#include "cpu/norm.h"
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
  const int32_t* indices;    // [n], ascending
  const uint8_t* visible;    // [n]
  bool plain;                // every key is visible and indices are consecutive: nearly always
  const Attention& attributes;
  const float* line;  // line[index of query - index of key]; null: zeros
  float* out;         // [n, head_dim], rows out_stride apart
  int64_t out_stride;
};

// A panel of queries, one a column, and the keys it reaches.
struct Panel {
  int first, queries;
  KeyRange keys;
  bool sees[kMaxColumns];  // by column: some key
};

// Fills panel.sees, and tells whether a query sees no key. A visible query sees itself, so only sequences with hidden tokens have one.
bool find_unseeing(const Head& head, Panel& panel) {
  bool any = false;
  for (int c = 0; c < panel.queries; c++) {
    const int32_t query = head.indices[panel.first + c];
    bool& sees = panel.sees[c] = false;
    for (int key = panel.keys.first; key < panel.keys.last && !sees; key++) {
      sees = head.visible[key] && head.attributes.distance.sees(head.indices[key] - query);
    }
    any |= !sees;
  }
  return any;
}

// Hides keys and adds the line in heads that are not plain. scores [keys][columns]. All scores of a query that sees no key
// become equal, so that its softmax weighs all values alike.
void mask(const Head& head, const Panel& panel, int columns, float* scores) {
  const int32_t* query = head.indices + panel.first;
  for (int key = panel.keys.first; key < panel.keys.last; key++, scores += columns) {
    if (!head.visible[key]) std::fill_n(scores, columns, -std::numeric_limits<float>::infinity());
    for (int c = 0; c < panel.queries; c++) {
      if (!panel.sees[c]) {
        scores[c] = 0;
      } else if (head.visible[key] && head.line) {
        scores[c] += head.line[query[c] - head.indices[key]];
      }
    }
  }
}

bool is_plain(const int32_t* indices, const uint8_t* visible, int n) {
  if (std::memchr(visible, 0, size_t(n))) return false;
  for (int t = 1; t < n; t++) {
    if (indices[t] != indices[0] + t) return false;
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

// out [queries, head_dim] = mixed^T, its rows times scales. mixed [head_dim][columns]; tile: room for columns x columns.
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

// mixed [head_dim, columns] = V^T scores, over the keys of the range. v_rows as pack_values() leaves them.
void multiply_values(const TileKernel& f32, const Head& head, const KeyRange& keys, const float* v_rows, const float* scores,
                     float* mixed) {
  if (keys.count() == head.n) {
    f32.multiply(v_rows, scores, nullptr, 0, head.head_dim, head.n, false, mixed);
    return;
  }
  for (int d = 0; d < head.head_dim; d += f32.rows) {  // tile by tile: their keys are not next to each other
    const float* tile = v_rows + int64_t(d) * head.n + int64_t(keys.first) * f32.rows;
    f32.multiply(tile, scores, nullptr, 0, std::min(f32.rows, head.head_dim - d), keys.count(), false, mixed + d * f32.columns);
  }
}

// Looks at the flag once a panel: a head is quadratic in the row.
void attend(const Kernels& kernels, const Head& head, const AttentionScratch& layout, float* scratch, const CancelFlag& cancel) {
  const TileKernel& f32 = kernels.f32;
  float* k_rows = scratch;
  float* v_rows = k_rows + layout.k_rows;
  float* query = v_rows + layout.v_rows;
  float* scores = query + layout.query;
  float* mixed = scores + layout.scores;
  float* tile = mixed + layout.mixed;
  float scales[kMaxColumns];

  for (int key = 0; key < head.n; key += f32.rows) {
    const int valid = std::min(f32.rows, head.n - key);
    f32.pack_a(head.k + key * head.stride, valid, head.head_dim, head.stride, k_rows + key * head.head_dim);
  }
  pack_values(f32, head, v_rows);
  for (int first = 0; first < head.n; first += f32.columns) {
    cancel.check();
    const int queries = std::min(f32.columns, head.n - first);
    Panel panel{first, queries, KeyRange(head.attributes.distance, first, queries, head.n, f32.rows), {}};
    const bool unseeing = !head.plain && find_unseeing(head, panel);
    if (unseeing) panel.keys.first = 0, panel.keys.last = head.n;
    const KeyRange& keys = panel.keys;
    f32.pack_b(head.q + first * head.stride, queries, head.head_dim, head.stride, 1, query);
    f32.multiply(k_rows + int64_t(keys.first) * head.head_dim, query, nullptr, 0, keys.count(), head.head_dim, false, scores);
    if (head.attributes.softcap) kernels.softcap(scores, keys.count() * f32.columns, *head.attributes.softcap);
    if (!head.plain) mask(head, panel, f32.columns, scores);
    kernels.softmax(scores, keys.count(), head.plain && head.line ? head.line + first - keys.first : nullptr, scales);
    for (int c = 0; unseeing && head.attributes.unseeing == Unseeing::kZero && c < queries; c++) {
      if (!panel.sees[c]) scales[c] = 0;
    }
    multiply_values(f32, head, keys, v_rows, scores, mixed);
    write_out(f32, head, first, queries, mixed, scales, tile);
  }
}

// The cosines and sines [pairs] of a token's angles, in double before they are rounded: a position may be large.
void angles_at(const Rope& rope, int position, float* cosines, float* sines) {
  for (size_t j = 0; j < rope.frequencies.size(); j++) {
    const double angle = position * rope.frequencies[j];
    cosines[j] = float(double(rope.magnitude) * std::cos(angle));
    sines[j] = float(double(rope.magnitude) * std::sin(angle));
  }
}

// What all of a query is multiplied by.
float query_factor(const Attention& a, int position) {
  if (!a.rope || a.rope->query_beta == 0) return a.scale;
  return float(double(a.scale) * (1 + double(a.rope->query_beta) * std::log1p(position / a.rope->query_period)));
}

}  // namespace

// Norms, turns and scales the heads of q and k in rows of q|k|v.
void CpuBackend::prepare_heads(const Attention& a, const Slot& weights, const CpuStates& s, float* qkv, const CancelFlag& cancel) {
  const bool keys_change = a.head_norm || a.rope;
  if (!keys_change && a.scale == 1) return;
  const Kernels& kernels = context_.kernels;
  const QkvRow at(a, weights.in.kernel().columns);
  const int pairs = a.rope ? int(a.rope->frequencies.size()) : 0;
  const bool interleaved = a.rope && a.rope->interleaved;
  context_.pool.run(s.tokens(), cancel, [&](int t, int worker) {
    float* cosines = context_.borrow(worker, 2 * pairs + a.head_dim);
    float *sines = cosines + pairs, *normed = sines + pairs;
    if (a.rope) angles_at(*a.rope, s.positions[size_t(t)], cosines, sines);
    const auto prepare = [&](float* head, int heads, Role norm, float factor) {
      for (int h = 0; h < heads; h++, head += a.head_dim) {
        if (a.head_norm) {
          normalise(kernels, *a.head_norm, weights.vectors[norm], {}, head, normed);
          std::copy_n(normed, a.head_dim, head);
        }
        kernels.turn(head, a.head_dim, cosines, sines, pairs, interleaved, factor);
      }
    };
    float* row = qkv + t * at.stride;
    prepare(row, a.heads, Role::kQNorm, query_factor(a, s.positions[size_t(t)]));
    if (keys_change) prepare(row + at.k, a.key_heads, Role::kKNorm, 1);
  });
}

// h += scale * o(softmax(q k^T + line) v), q|k|v = W norm(h)
void CpuBackend::attention(const Attention& a, const Slot& weights, float scale, CpuStates& s, const CancelFlag& cancel) {
  const int columns = weights.in.kernel().columns;
  const int inner = a.inner(), group = a.heads / a.key_heads;
  const QkvRow at(a, columns);
  wide_.reserve(size_t(s.tokens() * at.stride) * sizeof(float));
  mixed_.reserve(size_t(s.tokens()) * size_t(inner) * sizeof(float));
  float* qkv = wide_.as<float>();
  float* mixed = mixed_.as<float>();

  pack_normed(a.norm, weights, s, cancel);
  context_.finished(bench::kNorm);
  multiply<1>(context_, rows_, weights.in, cancel, [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
    add_bias(weights.in_bias, panel, rows, columns, tiles[0]);
    for (int r = 0; r < rows; r++) {
      stream(tiles[0] + r * columns, columns, qkv + (first_row + r) * at.stride + panel * columns);
    }
  });
  context_.finished(bench::kQkv);

  prepare_heads(a, weights, s, qkv, cancel);
  const DistanceLine line(a.distance, weights.vectors[Role::kDistance], a.heads, s.longest, context_.kernels.f32.columns);
  const int sequences = int(s.starts.size()) - 1;
  context_.pool.run(sequences * a.heads, cancel, [&](int task, int worker) {
    const int sequence = task / a.heads, h = task % a.heads;
    const int64_t first = s.starts[size_t(sequence)];
    const int n = int(s.starts[size_t(sequence) + 1] - first);
    const int32_t* indices = &s.indices[size_t(first)];
    const uint8_t* visible = &s.visible[size_t(first)];
    const float *row = qkv + first * at.stride, *k = row + at.k + h / group * a.head_dim, *v = k + at.v - at.k;
    float* out = mixed + first * inner + h * a.head_dim;
    const Head head{n, a.head_dim, at.stride, row + h * a.head_dim, k, v, indices, visible, is_plain(indices, visible, n),
                    a, line.of_head(h), out, inner};
    const AttentionScratch layout(context_.kernels.f32, n, a.head_dim);
    attend(context_.kernels, head, layout, context_.borrow(worker, layout.floats()), cancel);
  });
  context_.finished(bench::kAttend);

  const size_t inner_bytes = size_t(inner) * sizeof(float);
  rows_.pack(context_, weights.out.kernel(), s.tokens(), inner, cancel,
             [&](int64_t r, float* out) { std::memcpy(out, mixed + r * inner, inner_bytes); });
  add_product(weights, a.post_norm, scale, s, cancel);
  context_.finished(bench::kO);
}

}  // namespace skrr::cpu
