// The layer table: position -> weight slot. It is the plan, as the kernels read it.
//
//   position   0  1  2  3  4  5  6  7 ...
//   slot       0  1  0  3  4  7  -  7 ...      2 runs with 0's weights, 5 with 7's, 6 is skipped
//
// A slot is named after the sub-block whose weights it holds. A slot that stands twice is held once and runs twice.
#pragma once

#include <vector>

namespace skrr {

constexpr int kSkipped = -1;

struct TableEntry {
  int slot = kSkipped;
  float scale = 1;  // h + scale * F(norm(h); weights of slot)
};

using LayerTable = std::vector<TableEntry>;  // 2 * blocks entries

}  // namespace skrr
