#include "engine/architecture.h"

#include <algorithm>

namespace skrr {
namespace {

using Attributes = std::vector<Attribute>;

void add(Attributes& attributes, bool present, Attribute attribute) {
  const bool known = std::find(attributes.begin(), attributes.end(), attribute) != attributes.end();
  if (present && !known) attributes.push_back(attribute);
}

void add_norm(Attributes& attributes, const Norm& norm) {
  add(attributes, norm.kind == Norm::Kind::kLayer, Attribute::kLayerNorm);
}

void add_attention(Attributes& attributes, const Attention& a) {
  add_norm(attributes, a.norm);
  add(attributes, a.post_norm.has_value(), Attribute::kPostNorm);
  add(attributes, a.key_heads != a.heads, Attribute::kKeyHeads);
  add(attributes, a.bias != Bias::kNone, Attribute::kAttentionBias);
  add(attributes, a.head_norm.has_value(), Attribute::kHeadNorm);
  add(attributes, a.scale != 1, Attribute::kScale);
  add(attributes, a.softcap.has_value(), Attribute::kSoftcap);
  add(attributes, a.rope.has_value(), Attribute::kRope);
}

void add_feed_forward(Attributes& attributes, const FeedForward& f) {
  add_norm(attributes, f.norm);
  add(attributes, f.post_norm.has_value(), Attribute::kPostNorm);
  add(attributes, f.bias, Attribute::kFeedForwardBias);
  add(attributes, f.activation == Activation::kGelu, Attribute::kGelu);
  add(attributes, f.activation == Activation::kQuickGelu, Attribute::kQuickGelu);
  add(attributes, f.activation == Activation::kSilu, Attribute::kSilu);
}

}  // namespace

std::vector<Attribute> all_attributes() {
  Attributes all;
  for (int i = 0; i < kAttributes; i++) all.push_back(Attribute(i));
  return all;
}

const char* name_of(Attribute attribute) {
  switch (attribute) {
    case Attribute::kLayerNorm: return "LayerNorm";
    case Attribute::kPostNorm: return "a norm after a sub-block";
    case Attribute::kKeyHeads: return "grouped key heads";
    case Attribute::kAttentionBias: return "biases of an attention";
    case Attribute::kHeadNorm: return "norms of heads";
    case Attribute::kScale: return "a scale of logits";
    case Attribute::kSoftcap: return "a softcap of logits";
    case Attribute::kRope: return "rotary positions";
    case Attribute::kFeedForwardBias: return "biases of a feed-forward";
    case Attribute::kGelu: return "the activation gelu";
    case Attribute::kQuickGelu: return "the activation quick_gelu";
    case Attribute::kSilu: return "the activation silu";
  }
  return "an unknown attribute";
}

std::vector<Attribute> attributes_of(const Architecture& architecture) {
  Attributes attributes;
  for (const Block& block : architecture.blocks) {
    add_attention(attributes, block.attention);
    add_feed_forward(attributes, block.feed_forward);
  }
  add_norm(attributes, architecture.output_norm);
  return attributes;
}

}  // namespace skrr
