#include "engine/architecture.h"

namespace skrr {
namespace {

std::string of_attention(const Attention& a) {
  if (a.norm.kind == Norm::Kind::kLayer) return "LayerNorm";
  if (a.post_norm) return "a norm after a sub-block";
  if (a.key_heads != a.heads) return "grouped key heads";
  if (a.bias) return "biases of q, k, v, o";
  if (a.head_norm) return "norms of heads";
  if (a.scale != 1) return "a scale of logits";
  if (a.softcap) return "a softcap of logits";
  if (a.rope) return "rotary positions";
  return "";
}

std::string of_feed_forward(const FeedForward& f) {
  if (f.norm.kind == Norm::Kind::kLayer) return "LayerNorm";
  if (f.post_norm) return "a norm after a sub-block";
  if (f.bias) return "biases of a feed-forward";
  if (f.activation != Activation::kRelu && f.activation != Activation::kGeluTanh) {
    return std::string("the activation ") + kActivationNames[int(f.activation)];
  }
  return "";
}

}  // namespace

std::string without_kernel(const Architecture& architecture) {
  for (const Block& block : architecture.blocks) {
    if (const std::string name = of_attention(block.attention); !name.empty()) return name;
    if (const std::string name = of_feed_forward(block.feed_forward); !name.empty()) return name;
  }
  if (architecture.output_norm.kind == Norm::Kind::kLayer) return "LayerNorm";
  if (architecture.input_scale != 1) return "a scale of embeddings";
  if (architecture.positions > 0) return "a position table";
  return "";
}

}  // namespace skrr
