// The sizes kernels work with: those of the geometry, padded as kernels.h says.
#pragma once

#include "cuda/kernels.h"
#include "engine/geometry.h"

namespace skrr::cuda {

constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

struct Shape {
  explicit Shape(const Geometry& g)
      : width(round_up(g.width, 8)),
        head_dim(padded_head_dim(g.head_dim)),
        inner(g.heads * head_dim),
        ff(round_up(g.ff, 8)),
        up(g.gated ? 2 * ff : ff) {}

  int width;
  int head_dim;
  int inner;  // heads * head_dim
  int ff;
  int up;     // rows of the first matrix of a feed-forward
};

}  // namespace skrr::cuda
