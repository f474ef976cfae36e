// The sizes kernels work with: those of the architecture, padded as kernels.h says.
#pragma once

#include "cuda/kernels.h"
#include "engine/architecture.h"

namespace skrr::cuda {

constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// A recorded pass runs under any plan, so all sub-blocks of a kind have one shape; they may differ in what kernels find in their
// slot: distance, rotation, scale and softcap of logits.
struct Shape {
  // Throws ERR_DEVICE where sub-blocks of a kind differ, or a head is wider than any kernel takes.
  explicit Shape(const Architecture& architecture);

  int true_width;  // not padded
  int width;
  Heads heads;
  int true_head_dim;
  int inner;   // heads * head_dim
  int qkv;     // (heads + 2 key heads) * head_dim
  bool table;  // some attention has a distance table
  bool turns;  // some attention has norms of heads or a rotation
  int ff;
  int up;     // rows of the first matrix of a feed-forward
  bool gated;
  Activation activation;
  Norm attention_norm, feed_forward_norm;
  bool attention_post_norm, feed_forward_post_norm;
};

// What the attentions of an encoder read of a batch's rows, each once.
struct Sights {
  explicit Sights(const Architecture& architecture);
  Sights(const std::vector<Distance>& distances, const std::vector<Rope>& ropes) : distances(distances), ropes(ropes) {}

  std::vector<Distance> distances;
  std::vector<Rope> ropes;

  int index_of(const Distance& distance) const;
  int index_of(const Rope& rope) const;
  int turns() const;  // floats of a token in one table of angles (Rows)
};

}  // namespace skrr::cuda
