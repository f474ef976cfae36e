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

template <class SubBlock>
void require_equal_norms(const SubBlock& first, const SubBlock& other) {
  require_equal("norms", double(first.norm.kind), double(other.norm.kind));
  require_equal("epsilon", double(first.norm.epsilon), double(other.norm.epsilon));
  require_equal("norms after them", first.post_norm.has_value(), other.post_norm.has_value());
}

bool equal(const Rope& a, const Rope& b) {
  return a.frequencies == b.frequencies && a.interleaved == b.interleaved && a.magnitude == b.magnitude &&
         a.query_beta == b.query_beta && a.query_period == b.query_period;
}

}  // namespace

Shape::Shape(const Architecture& a) {
  const Attention& attention = a.attention(0);
  const FeedForward& feed_forward = a.feed_forward(1);
  for (const Block& block : a.blocks) {
    require_equal("heads", attention.heads, block.attention.heads);
    require_equal("key heads", attention.key_heads, block.attention.key_heads);
    require_equal("head dimension", attention.head_dim, block.attention.head_dim);
    require_equal_norms(attention, block.attention);
    require_equal_norms(feed_forward, block.feed_forward);
    require_equal("width", feed_forward.inner, block.feed_forward.inner);
    require_equal("gates", feed_forward.gated, block.feed_forward.gated);
    require_equal("activation", double(feed_forward.activation), double(block.feed_forward.activation));
  }
  if (attention.head_dim > kMaxHeadDim) no_kernel("head dimension", attention.head_dim, "at most " + std::to_string(kMaxHeadDim));
  true_width = a.width;
  width = round_up(a.width, 8);
  true_head_dim = attention.head_dim;
  heads = {attention.heads, attention.key_heads, round_up(true_head_dim, 8)};
  inner = heads.heads * heads.head_dim;
  qkv = inner + 2 * heads.key_heads * heads.head_dim;
  const auto any = [&](auto has) {
    return std::any_of(a.blocks.begin(), a.blocks.end(), [&](const Block& block) { return has(block.attention); });
  };
  table = any([](const Attention& each) { return each.distance.buckets > 0; });
  turns = any([](const Attention& each) { return each.rope || each.head_norm; });
  ff = round_up(feed_forward.inner, 8);
  gated = feed_forward.gated;
  up = gated ? 2 * ff : ff;
  activation = feed_forward.activation;
  attention_norm = attention.norm, feed_forward_norm = feed_forward.norm;
  attention_post_norm = attention.post_norm.has_value(), feed_forward_post_norm = feed_forward.post_norm.has_value();
}

Sights::Sights(const Architecture& architecture) {
  for (const Block& block : architecture.blocks) {
    const Attention& a = block.attention;
    if (index_of(a.distance) == int(distances.size())) distances.push_back(a.distance);
    if (a.rope && index_of(*a.rope) == int(ropes.size())) ropes.push_back(*a.rope);
  }
}

int Sights::index_of(const Distance& distance) const {
  return int(std::find(distances.begin(), distances.end(), distance) - distances.begin());
}

int Sights::index_of(const Rope& rope) const {
  return int(std::find_if(ropes.begin(), ropes.end(), [&](const Rope& other) { return equal(rope, other); }) - ropes.begin());
}

int Sights::turns() const {
  size_t pairs = 0;
  for (const Rope& rope : ropes) pairs = std::max(pairs, rope.frequencies.size());
  return ropes.empty() ? 0 : int(1 + 2 * pairs);
}

}  // namespace skrr::cuda
