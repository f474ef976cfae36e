// The sizes kernels work with: those of the architecture, padded as kernels.h says.
#pragma once

#include "cuda/kernels.h"
#include "engine/architecture.h"

namespace skrr::cuda {

constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// A recorded pass runs under any plan, so all sub-blocks of a kind have one shape; they may differ in their distance.
struct Shape {
  // Throws ERR_DEVICE where sub-blocks of a kind differ, or a head is wider than any kernel takes.
  explicit Shape(const Architecture& architecture);

  int true_width;  // not padded
  int width;
  int heads;
  int head_dim;
  int inner;  // heads * head_dim
  int ff;
  int up;     // rows of the first matrix of a feed-forward
  bool gated;
  Activation activation;
  float attention_epsilon, feed_forward_epsilon;
};

// The distinct distances of the architecture's attentions, and the index among them of an attention's own.
std::vector<Distance> distances_of(const Architecture& architecture);
int distance_index(const Architecture& architecture, int sub_block);

}  // namespace skrr::cuda
