// Reduced-rank ridge regression: the low-rank map that brings a plan's embeddings nearest to the dense encoder's.
//
//   minimise over A [d, r], B [r, d]   sum_t w_t |P (e_t - B'A' x_t)|^2 + lambda |P B'A'|^2
//
// x_t is the plan's embedding of token t, e_t the dense encoder's minus x_t, w_t a weight, P [f, d] the metric: the
// denoiser's first linear layer, or the identity. Source: Izenman 1975, ridge as in Mukherjee & Zhu 2011.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/cancel.h"

namespace skrr {

class Regression {
 public:
  virtual ~Regression() = default;

  // x, dense [tokens, width]: adds tokens to the sums. Products are float32 within a call, sums between calls double.
  virtual void add(const float* x, const float* dense, int tokens, double weight, const CancelFlag& cancel) = 0;

  struct Factors {
    std::vector<float> down, up;  // [rank, width]: A', B
  };
  // lambda = ridge * the mean square of the tokens. metric [features, width], or null. Rows past the data's own rank are zeros.
  virtual Factors fit(int rank, double ridge, const float* metric, int features, const CancelFlag& cancel) = 0;

  virtual size_t bytes() const = 0;
};

}  // namespace skrr
