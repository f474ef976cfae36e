#include "cuda/shape.h"

#include <algorithm>
#include <string>

#include "engine/error.h"

namespace skrr::cuda {
namespace {

[[noreturn]] void no_kernel(const std::string& what, int found, const std::string& expected) {
  throw Error("ERR_DEVICE", what + ": found " + std::to_string(found) + ", expected " + expected + " on device cuda");
}

void require_equal(const char* what, double first, double other) {
  if (first == other) return;
  throw Error("ERR_DEVICE", std::string("sub-blocks of unequal ") + what + ": device cuda has no kernels for them");
}

}  // namespace

Shape::Shape(const Architecture& a) {
  const Attention& attention = a.attention(0);
  const FeedForward& feed_forward = a.feed_forward(1);
  for (const Block& block : a.blocks) {
    require_equal("heads", attention.heads, block.attention.heads);
    require_equal("head dimension", attention.head_dim, block.attention.head_dim);
    require_equal("epsilon", double(attention.norm.epsilon), double(block.attention.norm.epsilon));
    require_equal("epsilon", double(feed_forward.norm.epsilon), double(block.feed_forward.norm.epsilon));
    require_equal("width", feed_forward.inner, block.feed_forward.inner);
    require_equal("gates", feed_forward.gated, block.feed_forward.gated);
    require_equal("activation", double(feed_forward.activation), double(block.feed_forward.activation));
  }
  head_dim = padded_head_dim(attention.head_dim);
  if (head_dim == 0) no_kernel("head dimension", attention.head_dim, "at most " + std::to_string(kMaxHeadDim));
  true_width = a.width;
  width = round_up(a.width, 8);
  heads = attention.heads;
  inner = heads * head_dim;
  ff = round_up(feed_forward.inner, 8);
  gated = feed_forward.gated;
  up = gated ? 2 * ff : ff;
  activation = feed_forward.activation;
  attention_epsilon = attention.norm.epsilon, feed_forward_epsilon = feed_forward.norm.epsilon;
}

std::vector<Distance> distances_of(const Architecture& architecture) {
  std::vector<Distance> distances;
  for (const Block& block : architecture.blocks) {
    const Distance& distance = block.attention.distance;
    if (std::find(distances.begin(), distances.end(), distance) == distances.end()) distances.push_back(distance);
  }
  return distances;
}

int distance_index(const Architecture& architecture, int sub_block) {
  const std::vector<Distance> distances = distances_of(architecture);
  return int(std::find(distances.begin(), distances.end(), architecture.attention(sub_block).distance) - distances.begin());
}

}  // namespace skrr::cuda
