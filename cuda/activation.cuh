// The feed-forward's activations, in float32.
#pragma once

#include "cuda/intrinsics.cuh"
#include "engine/activation.h"

namespace skrr::cuda {

struct Relu {
  SKRR_DEVICE float operator()(float x) const { return fmaxf(x, 0.0f); }
};

// x / (1 + exp2(x (linear + cubic x^2))): exp2 may overflow to infinity, x / that is the right limit. The square is kept finite,
// so that its product with a `cubic` of 0 is 0.
struct Sigmoid {
  float linear, cubic;
  SKRR_DEVICE float operator()(float x) const {
    const float square = fminf(x * x, 1e30f);
    return x * reciprocal_approx(1.0f + exp2_approx(x * fmaf(cubic, square, linear)));
  }
};

// gelu_tanh: x / 2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3), is x / (1 + exp(-2 u)).
SKRR_DEVICE Sigmoid sigmoid_of(Activation activation) {
  constexpr float kMinusLog2E = -1.4426950408889634f, kTanh = kMinusLog2E * 2 * 0.79788456080286536f;
  if (activation == Activation::kGeluTanh) return {kTanh, kTanh * 0.044715f};
  return {activation == Activation::kQuickGelu ? kMinusLog2E * 1.702f : kMinusLog2E, 0.0f};
}

// x Phi(x) as max(x, 0) - |x| Phi(-|x|), so that nothing cancels in either tail. Phi(-z) = erfc(z / sqrt(2)) / 2 by Abramowitz and
// Stegun 7.1.26, within 1.5e-7.
struct Gelu {
  SKRR_DEVICE float operator()(float x) const {
    constexpr float kSlope = 0.3275911f * 0.70710678118654752f, kHalfLog2E = 0.72134752044448170f;
    const float z = fabsf(x), t = reciprocal_approx(fmaf(kSlope, z, 1.0f));
    float sum = 0.5f * 1.061405429f;
    sum = fmaf(sum, t, 0.5f * -1.453152027f);
    sum = fmaf(sum, t, 0.5f * 1.421413741f);
    sum = fmaf(sum, t, 0.5f * -0.284496736f);
    sum = fmaf(sum, t, 0.5f * 0.254829592f);
    return fmaxf(x, 0.0f) - z * (sum * t * exp2_approx(-kHalfLog2E * z * z));
  }
};

// Calls use(activation): the choice is made once for all of a tile.
template <class Use>
SKRR_DEVICE void with_activation(Activation activation, Use use) {
  if (activation == Activation::kRelu) {
    use(Relu{});
  } else if (activation == Activation::kGelu) {
    use(Gelu{});
  } else {
    use(sigmoid_of(activation));
  }
}

}  // namespace skrr::cuda
