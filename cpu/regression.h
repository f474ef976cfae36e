// engine/regression.h on the processor. With G = sum w x x' + lambda I and M = sum w x e' the best map lies in the span of
// the leading eigenvectors of H P'P, H = M' G^-1 M: for U [d, r] spanning it with U' P'P U = I,
//
//   A = G^-1 M P'P U,  B = U'
//
// G is factored once (Cholesky), U found by orthogonal iteration; all in double.
#pragma once

#include <vector>

#include "cpu/matrix.h"
#include "engine/regression.h"

namespace skrr::cpu {

class CpuRegression final : public Regression {
 public:
  CpuRegression(int width, int threads);  // threads 0: all this process may use

  void add(const float* x, const float* dense, int tokens, double weight, const CancelFlag& cancel) override;
  // lambda = ridge * the mean of G's diagonal.
  Factors fit(int rank, double ridge, const float* metric, int features, const CancelFlag& cancel) override;
  size_t bytes() const override { return (gram_.size() + cross_.size() + factor_.size()) * sizeof(double); }

 private:
  void factorise(double lambda, const CancelFlag& cancel);

  const int64_t width_;
  Context context_;
  std::vector<double> gram_;    // [width, width] sum of w x x', without lambda
  std::vector<double> cross_;   // [width, width] M
  std::vector<double> factor_;  // [width, width] L with L L' = G, its lower triangle
};

}  // namespace skrr::cpu
