// The feed-forward's activations, in float32.
#pragma once

#include "cuda/intrinsics.cuh"
#include "engine/activation.h"

namespace skrr::cuda {

// x / 2 (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3), as x / (1 + exp(-2 u)): exp may overflow to infinity, x / that
// is the right limit.
SKRR_DEVICE float gelu_tanh(float x) {
  constexpr float kMinusTwoLog2E = -2.8853900817779268f;
  const float u = 0.79788456080286536f * (x + 0.044715f * x * x * x);
  return x * reciprocal_approx(1.0f + exp2_approx(kMinusTwoLog2E * u));
}

SKRR_DEVICE float activate(Activation activation, float x) {
  return activation == Activation::kRelu ? fmaxf(x, 0.0f) : gelu_tanh(x);
}

}  // namespace skrr::cuda
