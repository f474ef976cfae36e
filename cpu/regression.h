// Reduced-rank ridge regression: the low-rank map that brings a plan's embeddings nearest to the dense encoder's.
//
//   minimise over A [d, r], B [r, d]   sum_t w_t |P (e_t - B'A' x_t)|^2 + lambda |P B'A'|^2
//
// x_t is the plan's embedding of token t, e_t what it lacks of the dense encoder's, w_t a weight, P [f, d] the metric: the
// denoiser's first linear layer, or the identity. With G = sum w x x' + lambda I and M = sum w x e' the best map lies in the
// span of the leading eigenvectors of H P'P, H = M' G^-1 M: for U [d, r] spanning it with U' P'P U = I,
//
//   A = G^-1 M P'P U,  B = U'
//
// G is factored once (Cholesky), U found by orthogonal iteration; all in double. Source: Izenman 1975, ridge as in Mukherjee & Zhu 2011.
#pragma once

#include <vector>

#include "cpu/matrix.h"

namespace skrr::cpu {

class Regression {
 public:
  Regression(int width, int threads);  // threads 0: all this process may use

  // x, dense [tokens, width]: adds weight x x' to G and weight x (dense - x)' to M. Products are float32 within a call, sums
  // between calls double.
  void add(const float* x, const float* dense, int tokens, double weight, const CancelFlag& cancel);

  struct Map {
    std::vector<float> down, up;  // [rank, width]: A', B
  };
  // lambda = ridge * the mean of G's diagonal. metric [features, width], or null. Ranks past what M has are zeros.
  Map fit(int rank, double ridge, const float* metric, int features, const CancelFlag& cancel);

  size_t bytes() const { return (gram_.size() + cross_.size() + factor_.size()) * sizeof(double); }

 private:
  void factorise(double lambda, const CancelFlag& cancel);

  const int64_t width_;
  Context context_;
  std::vector<double> gram_;    // [width, width] sum of w x x', without lambda
  std::vector<double> cross_;   // [width, width] M
  std::vector<double> factor_;  // [width, width] L with L L' = G, its lower triangle
};

}  // namespace skrr::cpu
