// The basis that integer weights and the rows that meet them lie in.
#pragma once

#include <algorithm>
#include <cstdint>

namespace skrr {

// Outliers: a few channels of an encoder's activations are hundreds of times the rest, and one scale per row would round
// the rest away. So int8 multiplies in a rotated basis: (H x)(H w) = block * x w for the Hadamard matrix H of size
// `block`, and each element of H x is a sum over `block` channels in which no single one stands out. Weights are rotated
// as they are packed.
//
// x [k] is seen as [k / (block * lanes)][block][lanes]; H acts along the middle axis.
struct Rotation {
  int lanes, block;  // powers of two that divide k; block 1 turns nothing

  explicit Rotation(int64_t k)
      : lanes(int(std::min<int64_t>(16, k & -k))), block(int(std::min<int64_t>(64, (k / lanes) & -(k / lanes)))) {}
};

}  // namespace skrr
