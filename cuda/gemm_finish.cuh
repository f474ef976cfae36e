// What follows a product while its sums are in registers: the four ways to finish of kernels.h, for every kernel whose
// threads hold C as mma.sync leaves it.
//
//   acc[i][j] is this thread's part of the 16 x 8 fragment at (16 i, 8 j): the elements (row, column + e) in acc[i][j][e],
//   e = 0, 1, and those 8 rows below in acc[i][j][2 + e]. Pairs outside of [m, n] are not stored.
#pragma once

#include "cuda/activation.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {

// Row and column of C of a thread's first element.
struct Fragment {
  int row, column;
};

constexpr int kWhole = -1;  // for `split`: K was not split

// Two neighbouring columns of one row of C, and where they belong.
struct Pair {
  int row, column;
  float first, second;
};

SKRR_DEVICE void store_pair(bf16* y, int stride, const Pair& c) {
  *reinterpret_cast<uint32_t*>(y + size_t(c.row) * size_t(stride) + size_t(c.column)) = pack_bf16x2(c.first, c.second);
}

// Calls use(row, column, i, j, e) for the pairs that lie inside [m, n]; e is the first of acc[i][j]'s two.
template <int kDown, int kAcross, class Use>
SKRR_DEVICE void for_pairs(const Gemm& g, const Fragment& at, Use use) {
#pragma unroll
  for (int i = 0; i < kDown; i++) {
#pragma unroll
    for (int j = 0; j < kAcross; j++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = at.row + i * 16 + half * 8, column = at.column + j * 8;
        if (row < g.m && column < g.n) use(row, column, i, j, half * 2);
      }
    }
  }
}

// h += scale * C. Eight pairs at a time: their loads are under way together, where one by one each would wait for its own.
template <int kDown, int kAcross>
SKRR_DEVICE void add_to_stream(const Gemm& g, float scale, const Fragment& at, const float (&acc)[kDown][kAcross][4]) {
  constexpr int kAtOnce = 4;  // fragments, two pairs of each
  static_assert(kAcross % kAtOnce == 0, "");
#pragma unroll
  for (int i = 0; i < kDown; i++) {
#pragma unroll
    for (int first = 0; first < kAcross; first += kAtOnce) {
      float2 old[kAtOnce][2];
      const auto for_these = [&](auto use) {
#pragma unroll
        for (int j = 0; j < kAtOnce; j++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            const int row = at.row + i * 16 + half * 8, column = at.column + (first + j) * 8;
            float* h = g.h + size_t(row) * size_t(g.n) + size_t(column);
            if (row < g.m && column < g.n) use(*reinterpret_cast<float2*>(h), old[j][half], &acc[i][first + j][half * 2]);
          }
        }
      };
      for_these([](const float2& h, float2& o, const float*) { o = h; });
      for_these([&](float2& h, const float2& o, const float* c) {
        h = make_float2(o.x + scale * c[0], o.y + scale * c[1]);
      });
    }
  }
}

template <int kDown, int kAcross>
SKRR_DEVICE void finish_tile(const Gemm& g, float scale, int split, const Fragment& at,
                             const float (&acc)[kDown][kAcross][4]) {
  static_assert(kAcross % 2 == 0, "gate and value lie side by side");
  switch (g.finish) {
    case Finish::kStore:
      for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
        store_pair(g.y, g.n, {row, column, acc[i][j][e], acc[i][j][e + 1]});
      });
      break;
    case Finish::kActivate:
      for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
        store_pair(g.y, g.n, {row, column, activate(g.activation, acc[i][j][e]), activate(g.activation, acc[i][j][e + 1])});
      });
      break;
    case Finish::kGate:  // even j: eight columns of x W0^T; j + 1: the same eight of x W1^T
      for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
        if (j % 2 != 0) return;
        const int out = (column - column % 8) / 2 + column % 8;
        store_pair(g.y, g.n / 2, {row, out, activate(g.activation, acc[i][j][e]) * acc[i][j + 1][e],
                                  activate(g.activation, acc[i][j][e + 1]) * acc[i][j + 1][e + 1]});
      });
      break;
    case Finish::kAdd:
      if (split == kWhole) {
        add_to_stream(g, scale, at, acc);
      } else {
        float* part = g.partials + size_t(split) * size_t(g.m) * size_t(g.n);
        for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
          *reinterpret_cast<float2*>(part + size_t(row) * size_t(g.n) + size_t(column)) =
              make_float2(acc[i][j][e], acc[i][j][e + 1]);
        });
      }
      break;
  }
}

}  // namespace skrr::cuda
