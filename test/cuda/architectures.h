// Encoders of several blocks with what one block of the sub-block suite cannot have: attributes that differ from block to block.
#pragma once

#include <cmath>

#include "test/engine/models.h"

namespace models {

// Windows and rotations in turns, no rotation in one block; grouped key heads, norms of heads, post-norms, a softcap.
inline Architecture decoder() {
  Architecture a = architecture_of({3, 40, 4, 24, 72, 0, 0, 1e-6f, Activation::kSilu});
  for (size_t b = 0; b < a.blocks.size(); b++) {
    auto& [attention, feed_forward] = a.blocks[b];
    attention.post_norm = feed_forward.post_norm = Norm{Norm::Kind::kRms, 1e-5f};
    attention.key_heads = 2;
    attention.head_norm = Norm{Norm::Kind::kRms, 1e-4f};
    attention.scale = b == 1 ? 0.2f : 0.25f;
    if (b == 1) attention.softcap = 5.0f;
    attention.distance.ahead = 0;
    if (b == 0) attention.distance.back = 7;
    if (b == 2) continue;
    Rope& rope = attention.rope.emplace();
    const int pairs = b == 0 ? 12 : 5;
    for (int j = 0; j < pairs; j++) rope.frequencies.push_back(std::pow(b == 0 ? 1e4 : 100.0, -double(j) / pairs));
  }
  return a;
}

// LayerNorm and biases throughout, every query sees what is before it.
inline Architecture causal() {
  Architecture a = architecture_of({2, 44, 3, 16, 90, 0, 0, 1e-5f, Activation::kQuickGelu, false});
  a.output_norm.kind = Norm::Kind::kLayer;
  for (auto& [attention, feed_forward] : a.blocks) {
    attention.norm.kind = feed_forward.norm.kind = Norm::Kind::kLayer;
    attention.bias = Bias::kAll, feed_forward.bias = true;
    attention.scale = 0.25f;
    attention.distance.ahead = 0;
    attention.unseeing = Unseeing::kZero;
  }
  return a;
}

}  // namespace models
