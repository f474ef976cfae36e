// Built-in variables, and what the lanes of a warp do together outside the tensor cores.
#include "test/simt/block.h"
#include "test/simt/intrinsics.h"
#include "test/simt/report.h"

namespace simt {

Dim3 thread_index() { return running_thread().id; }
Dim3 block_index() { return running_block().id; }
Dim3 grid_size() { return running_block().launched->grid; }
unsigned char* shared_memory() { return running_block().shared; }

uint32_t shuffle_xor(uint32_t mask, uint32_t value, int lane_mask, const Place& place) {
  struct Lane {
    uint32_t value, result;
    int lane_mask;
    Place place;
  } self{value, 0, lane_mask, place};
  meet("__shfl_xor_sync", mask, place, &self, [](Meeting& m) {
    for (int lane = 0; lane < 32; lane++) {
      Lane* reader = static_cast<Lane*>(m.arguments[lane]);
      if (!reader) continue;
      const Lane* source = static_cast<Lane*>(m.arguments[lane ^ reader->lane_mask]);
      if (!source) report("divergence", reader->place, "a shuffle reads from a lane that takes no part in it");
      reader->result = source ? source->value : 0xffffffffu;
    }
  });
  return self.result;
}

}  // namespace simt

namespace skrr::cuda {

// Orders the memory accesses of the warp's lanes; shuffles and matrix operations do not.
void sync_warp(const Place& place) {
  int unused = 0;
  simt::meet("__syncwarp", ~0u, place, &unused, [](simt::Meeting&) {
    const int first = simt::running_thread().number / 32 * 32;
    std::vector<int> lanes;
    for (int lane = 0; lane < 32; lane++) lanes.push_back(first + lane);
    simt::running_block().races->join(lanes);
  });
}

}  // namespace skrr::cuda
