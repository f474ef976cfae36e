// Scratch layout of one attention task, shared by attention.cpp and the memory estimate.
#pragma once

#include "cpu/matrix.h"

namespace skrr::cpu {

// One task is one head of one sequence of n tokens. All products are float32, in the tiles of kernels.f32:
// scores [rows, n] = Q K^T, then the result [rows, head_dim] = softmax(scores) V, `rows` queries at a time.
struct AttentionScratch {
  int64_t keys;     // n in whole panels: columns of the scores
  int64_t values;   // head_dim in whole panels: columns of the result
  int64_t k_panels, v_panels, query, scores, weights, tile;  // floats of each part

  AttentionScratch(const TileKernel& f32, int64_t n, int64_t head_dim)
      : keys(ceil_div(n, f32.columns) * f32.columns),
        values(ceil_div(head_dim, f32.columns) * f32.columns),
        k_panels(keys * head_dim),
        v_panels(values * n),
        query(f32.rows * head_dim),
        scores(f32.rows * keys),
        weights(f32.rows * n),
        tile(f32.rows * f32.columns) {}

  int64_t floats() const { return k_panels + v_panels + query + scores + weights + tile; }
};

}  // namespace skrr::cpu
