// The layer table: position -> weight slot. It is the plan, as the kernels read it.
//
//   position   0  1  2  3  4  5  6  7 ...
//   slot       0  1  0  3  4  7  -  7 ...      2 runs with 0's weights, 5 with 7's, 6 is skipped
//
// A slot is named after the sub-block whose weights it holds. A slot that stands twice is held once and runs twice.
//
// One sub-block can be held in several precisions at once, so that plans which differ in them can be switched while calls run:
// slots [0, 2 blocks) hold weights in the encoder's own precision, the next 2 blocks in the first of Precision, and so on.
#pragma once

#include <vector>

#include "engine/geometry.h"
#include "engine/precision.h"

namespace skrr {

constexpr int kSkipped = -1;

inline int slot_count(const Geometry& g) { return (1 + kPrecisions) * g.sub_blocks(); }
inline int sub_block_of(const Geometry& g, int slot) { return slot % g.sub_blocks(); }
inline Precision precision_of(const Geometry& g, int slot, Precision own) {
  return slot < g.sub_blocks() ? own : Precision(slot / g.sub_blocks() - 1);
}

struct TableEntry {
  int slot = kSkipped;
  float scale = 1;  // h + scale * F(norm(h); weights of slot)
};

using LayerTable = std::vector<TableEntry>;  // 2 * blocks entries

}  // namespace skrr
