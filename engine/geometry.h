// The shape of a T5-family encoder. Mirrors src/model/geometry.ts, where every field is checked against the checkpoint.
#pragma once

namespace skrr {

enum class Activation { kRelu, kGeluTanh };

struct Geometry {
  int blocks = 0;
  int width = 0;     // d_model: the residual stream
  int heads = 0;
  int head_dim = 0;  // d_kv; heads * head_dim need not equal width
  int ff = 0;        // d_ff
  int vocab = 0;     // rows of the token embedding, 0 where there is none
  int buckets = 0;
  int max_distance = 0;
  float epsilon = 0;
  Activation activation = Activation::kGeluTanh;
  bool gated = true;
  bool bias_per_block = false;  // UMT5; T5's block 0 holds the one table that serves all

  int inner() const { return heads * head_dim; }
  int sub_blocks() const { return 2 * blocks; }
};

// Even sub-blocks are attention, odd ones feed-forward.
inline bool is_attention(int sub_block) { return sub_block % 2 == 0; }

}  // namespace skrr
