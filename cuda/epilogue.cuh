// What follows a product while its sums are in registers: the epilogues of kernels.h, for every kernel whose threads
// hold C as mma.sync leaves it.
//
//   acc[i][j] is this thread's part of the fragment (fragment.cuh) at (16 i, 8 j) from `at`. Pairs outside of [m, n] are not
//   stored.
#pragma once

#include "cuda/activation.cuh"
#include "cuda/fragment.cuh"
#include "cuda/kernels.h"
#include "cuda/normed_rows.cuh"

namespace skrr::cuda {

constexpr int kWhole = -1;  // for `split`: K was not split

// Two neighbouring columns of a row of the result, and where they belong.
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

// Stores a split's part of C.
template <int kDown, int kAcross>
SKRR_DEVICE void store_part(const Gemm& g, int split, const Fragment& at, const float (&acc)[kDown][kAcross][4]) {
  float* part = g.partials + size_t(split) * size_t(g.m) * size_t(g.n);
  for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
    float2* to = reinterpret_cast<float2*>(part + size_t(row) * size_t(g.n) + size_t(column));
    *to = make_float2(acc[i][j][e], acc[i][j][e + 1]);
  });
}

// h += scale * C for 32 columns of a row, from `column` on. Four lanes hold them in four fragments side by side; this lane has
// c[j][half] and c[j][half + 1]. The argument `h` is what was there, zeros outside of [m, n].
SKRR_DEVICE void add_columns(const Gemm& g, const Step& step, const float* weight, int row, int column, float2 (&h)[4],
                             const float (*c)[4], int half) {
  float pairs[4] = {0, 0, 0, 0};
#pragma unroll
  for (int j = 0; j < 4; j++) {
    if (row >= g.m || column + j * 8 >= g.n) continue;
    const float2 sum = make_float2(h[j].x + step.scale * c[j][half], h[j].y + step.scale * c[j][half + 1]);
    *reinterpret_cast<float2*>(g.h + size_t(row) * size_t(g.n) + size_t(column + j * 8)) = sum;
    pairs[j] = square_of_pair(sum.x, sum.y);
    if (weight) store_x(g.next, weight, size_t(row), g.n, column + j * 8, sum.x, sum.y);
  }
  if (!weight) return;
  const float squares = squares_of_fragments(pairs);
  if (row < g.m && column < g.n && threadIdx.x % 4 == 0) store_squares(g.next, size_t(row), g.n, column, squares);
}

// Stores h += scale * C, and what the next step reads of h. It takes eight pairs at a time, so that their loads are under way
// together; one by one, each pair would wait for its own load.
template <int kDown, int kAcross>
SKRR_DEVICE void add_tile(const Gemm& g, const Step& step, const Fragment& at, const float (&acc)[kDown][kAcross][4]) {
  static_assert(kAcross % 4 == 0, "");
  const float* weight = g.next.x ? next_norm(g.at, step) : nullptr;
#pragma unroll
  for (int i = 0; i < kDown; i++) {
#pragma unroll
    for (int first = 0; first < kAcross; first += 4) {
      const int row = at.row + i * 16, column = at.column + first * 8;
      float2 h[2][4] = {};
#pragma unroll
      for (int e = 0; e < 8; e++) {
        const int r = row + e / 4 * 8, c = column + e % 4 * 8;
        if (r < g.m && c < g.n) h[e / 4][e % 4] = *reinterpret_cast<const float2*>(g.h + size_t(r) * size_t(g.n) + size_t(c));
      }
      add_columns(g, step, weight, row, column, h[0], &acc[i][first], 0);
      add_columns(g, step, weight, row + 8, column, h[1], &acc[i][first], 2);
    }
  }
}

// acc = factors * acc + the bias of its columns, and factors = 1.
template <int kDown, int kAcross>
SKRR_DEVICE void add_bias(const Gemm& g, const float* bias, const Fragment& at, float (&factors)[kDown][2],
                          float (&acc)[kDown][kAcross][4]) {
#pragma unroll
  for (int j = 0; j < kAcross; j++) {
    const int column = at.column + j * 8;
    const float2 b = column < g.n ? *reinterpret_cast<const float2*>(bias + column) : float2{};
#pragma unroll
    for (int i = 0; i < kDown; i++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        acc[i][j][2 * half] = fmaf(factors[i][half], acc[i][j][2 * half], b.x);
        acc[i][j][2 * half + 1] = fmaf(factors[i][half], acc[i][j][2 * half + 1], b.y);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kDown; i++) factors[i][0] = factors[i][1] = 1;
}

template <int kDown, int kAcross, class Act>
SKRR_DEVICE void store_activated(const Gemm& g, const Fragment& at, const float (&factors)[kDown][2],
                                 const float (&acc)[kDown][kAcross][4], const Act& act) {
  for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
    const float f = factors[i][e / 2];
    store_pair(g.y, g.n, {row, column, act(f * acc[i][j][e]), act(f * acc[i][j][e + 1])});
  });
}

// Even j: eight columns of x W0^T; j + 1: the same eight of x W1^T.
template <int kDown, int kAcross, class Act>
SKRR_DEVICE void store_gated(const Gemm& g, const Fragment& at, const float (&factors)[kDown][2],
                             const float (&acc)[kDown][kAcross][4], const Act& act) {
  static_assert(kAcross % 2 == 0, "gate and value lie side by side");
  for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
    if (j % 2 != 0) return;
    const float f = factors[i][e / 2];
    const int out = (column - column % 8) / 2 + column % 8;
    store_pair(g.y, g.n / 2, {row, out, act(f * acc[i][j][e]) * (f * acc[i][j + 1][e]),
                              act(f * acc[i][j][e + 1]) * (f * acc[i][j + 1][e + 1])});
  });
}

// factors[i][half]: those of x's rows where these are not normed yet (row_factors()), else 1. Changes its arguments.
template <int kDown, int kAcross>
SKRR_DEVICE void run_epilogue(const Gemm& g, const Step& step, int split, const Fragment& at, float (&factors)[kDown][2],
                              float (&acc)[kDown][kAcross][4]) {
  if (g.epilogue == Epilogue::kPart || split != kWhole) {
    store_part(g, split == kWhole ? 0 : split, at, acc);
    return;
  }
  const Slot& slot = g.at.slots[step.slot];
  const float* bias = g.out_weights ? slot.out_bias : slot.in_bias;
  if (bias) add_bias(g, bias, at, factors, acc);
  switch (g.epilogue) {
    case Epilogue::kStore:
      for_pairs<kDown, kAcross>(g, at, [&](int row, int column, int i, int j, int e) {
        const float f = factors[i][e / 2];
        store_pair(g.y, g.n, {row, column, f * acc[i][j][e], f * acc[i][j][e + 1]});
      });
      break;
    case Epilogue::kActivate:
      with_activation(g.activation, [&](const auto& act) { store_activated(g, at, factors, acc, act); });
      break;
    case Epilogue::kGate:
      with_activation(g.activation, [&](const auto& act) { store_gated(g, at, factors, acc, act); });
      break;
    case Epilogue::kAdd: add_tile(g, step, at, acc); break;
    case Epilogue::kPart: break;  // stored above
  }
}

}  // namespace skrr::cuda
