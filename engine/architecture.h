// What an encoder is: sub-blocks with attributes. Nothing here or below knows a family of models by name; only
// src/families does. Mirrors src/model/architecture.ts, where every field is checked against the checkpoint.
#pragma once

#include <optional>
#include <vector>

#include "engine/activation.h"

namespace skrr {

struct Norm {
  enum class Kind { kRms, kLayer };
  Kind kind = Kind::kRms;
  float epsilon = 0;
};

// What is added to a logit by the distance d = row of the key - row of the query: a learned number per head and bucket
// of d (engine/position_bucket.h), and -infinity outside [-back, ahead]. So a position bias, a causal mask (ahead 0) and
// a sliding window (back w - 1) are one line over d, and tiles of keys outside its reach are skipped.
struct Distance {
  static constexpr int kUnlimited = -1;
  int buckets = 0;       // rows of the distance table [buckets, heads]; 0: no table, the line is 0 within reach
  int max_distance = 0;  // all distances from this one on share a bucket
  int ahead = kUnlimited;
  int back = kUnlimited;

  bool sees(int distance) const {
    return (ahead == kUnlimited || distance <= ahead) && (back == kUnlimited || -distance <= back);
  }
  bool operator==(const Distance& o) const {
    return buckets == o.buckets && max_distance == o.max_distance && ahead == o.ahead && back == o.back;
  }
};

// Rotary positions: pair j of a head's first 2 * frequencies.size() channels turns by the angle position * frequencies[j].
struct Rope {
  std::vector<double> frequencies;  // scaled already: src/model/rope.ts knows theta and the kinds of scaling
  bool interleaved = false;         // pairs (2j, 2j + 1), else (j, j + frequencies.size())
  float magnitude = 1;              // factor on the cosines and sines
  // Queries are multiplied by 1 + query_beta * ln(1 + floor(position / query_period)) afterwards; 0: they are not.
  float query_beta = 0;
  int query_period = 1;
};

// Which of an attention's matrices have a bias.
enum class Bias { kNone, kQkv, kAll };

// What a query that sees no key gets: the mean of all values (implementations that add a finite minimum), or zeros.
enum class Unseeing { kMean, kZero };

struct Attention {
  Norm norm;
  std::optional<Norm> post_norm;
  int heads = 0, key_heads = 0, head_dim = 0;  // heads * head_dim need not equal the width
  Bias bias = Bias::kNone;
  std::optional<Norm> head_norm;               // of each head of q and k, before the rotation; RMS
  float scale = 1;                             // of logits
  std::optional<float> softcap;
  Distance distance;
  std::optional<Rope> rope;
  Unseeing unseeing = Unseeing::kMean;

  int inner() const { return heads * head_dim; }
  int key_inner() const { return key_heads * head_dim; }
};

struct FeedForward {
  Norm norm;
  std::optional<Norm> post_norm;
  int inner = 0;
  bool gated = false;  // down(act(gate x) * (up x)), else down(act(up x))
  Activation activation = Activation::kGeluTanh;
  bool bias = false;
};

// Sub-block 2i is the attention of block i, 2i + 1 its feed-forward.
struct Block {
  Attention attention;
  FeedForward feed_forward;
};
inline bool is_attention(int sub_block) { return sub_block % 2 == 0; }

struct Architecture {
  int width = 0;  // of the residual stream
  std::vector<Block> blocks;
  int vocab = 0;          // rows of the token embedding, 0 where there is none
  float input_scale = 1;  // of rows of the token embedding
  int positions = 0;      // rows of a position table, 0 where there is none
  Norm output_norm;

  int sub_blocks() const { return 2 * int(blocks.size()); }
  const Attention& attention(int sub_block) const { return blocks[size_t(sub_block / 2)].attention; }
  const FeedForward& feed_forward(int sub_block) const { return blocks[size_t(sub_block / 2)].feed_forward; }
};

// What a device may lack a kernel for. Whatever is not listed, every device has.
enum class Attribute {
  kLayerNorm,
  kPostNorm,
  kKeyHeads,
  kAttentionBias,
  kHeadNorm,
  kScale,
  kSoftcap,
  kRope,
  kFeedForwardBias,
  kGelu,
  kQuickGelu,
  kSilu,
};
constexpr int kAttributes = int(Attribute::kSilu) + 1;
std::vector<Attribute> all_attributes();
const char* name_of(Attribute attribute);  // for messages

// Those the architecture has, each once.
std::vector<Attribute> attributes_of(const Architecture& architecture);

}  // namespace skrr
