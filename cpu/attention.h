// Layouts of an attention's memory, shared by attention.cpp and the memory estimate.
#pragma once

#include "cpu/matrix.h"
#include "engine/architecture.h"

namespace skrr::cpu {

// Where q, k and v stand in a row of what the first product gives. Each takes whole panels.
struct QkvRow {
  int64_t k, v, stride;  // floats; q comes first

  QkvRow(const Attention& a, int columns)
      : k(round_up(a.inner(), columns)), v(k + round_up(a.key_inner(), columns)), stride(2 * v - k) {}
};

// One task is one head of one sequence of n tokens. All products are float32, in the tiles of kernels.f32. Queries stand in
// columns, a panel of them at a time:
//
//   scores [n, columns]        = K Q^T       softmax goes down a column, so that nothing is summed across lanes, and
//   mixed [head_dim, columns]  = V^T scores  scores are packed already: a panel of B over k = n
struct AttentionScratch {
  int64_t keys, values;                                // n and head_dim in whole tiles of rows
  int64_t k_rows, v_rows, query, scores, mixed, tile;  // floats of each part

  AttentionScratch(const TileKernel& f32, int64_t n, int64_t head_dim)
      : keys(round_up(n, f32.rows)),
        values(round_up(head_dim, f32.rows)),
        k_rows(keys * head_dim),
        v_rows(values * n),
        query(head_dim * f32.columns),
        scores(keys * f32.columns),
        mixed(values * f32.columns),
        tile(f32.columns * f32.columns) {}

  int64_t floats() const { return k_rows + v_rows + query + scores + mixed + tile; }
};

}  // namespace skrr::cpu
