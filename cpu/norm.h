// A norm of one row, of either kind.
#pragma once

#include <vector>

#include "cpu/kernels.h"
#include "engine/architecture.h"

namespace skrr::cpu {

// out [weight.size()] = norm(x); no overlap. `bias` is a LayerNorm's, empty where there is none.
inline void normalise(const Kernels& kernels, const Norm& norm, const std::vector<float>& weight, const std::vector<float>& bias,
                      const float* x, float* out) {
  const int n = int(weight.size());
  if (norm.kind == Norm::Kind::kRms) kernels.rms_norm(x, weight.data(), n, double(norm.epsilon), out);
  else kernels.layer_norm(x, weight.data(), bias.empty() ? nullptr : bias.data(), n, double(norm.epsilon), out);
}

}  // namespace skrr::cpu
