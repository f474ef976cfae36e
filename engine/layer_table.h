// The layer table: position -> weight slot. It is the plan, as the kernels read it.
//
//   position   0  1  2  3  4  5  6  7 ...
//   weights    0  1  0  3  4  7  -  7 ...      2 runs with 0's weights, 5 with 7's, 6 is skipped
//
// A slot is a sub-block in a precision. One that stands twice is held once and runs twice; one sub-block can be held in several
// precisions at once, so that plans which differ in them can be switched while calls run.
#pragma once

#include <vector>

#include "engine/architecture.h"
#include "engine/precision.h"

namespace skrr {

constexpr int kSkipped = -1;

inline int slot_of(int sub_block, Precision precision) { return sub_block * kPrecisions + int(precision); }
inline int sub_block_of(int slot) { return slot / kPrecisions; }
inline Precision precision_of(int slot) { return Precision(slot % kPrecisions); }
inline int slot_count(const Architecture& architecture) { return architecture.sub_blocks() * kPrecisions; }

struct TableEntry {
  int slot = kSkipped;
  float scale = 1;  // h + scale * F(norm(h); weights of slot)
};

using LayerTable = std::vector<TableEntry>;  // [2 * blocks]

}  // namespace skrr
