// cp.async: the copy is issued, committed with its group and waited for. The data moves at the wait, no earlier: a kernel
// that reads too soon reads NaN, and is reported.
#include "test/simt/block.h"
#include "test/simt/device_memory.h"
#include "test/simt/intrinsics.h"
#include "test/simt/report.h"

namespace skrr::cuda {

using namespace simt;

uint32_t shared_address(const void* shared, const Place& place) {
  const uintptr_t offset = uintptr_t(shared) - uintptr_t(running_block().shared);
  if (offset > running_block().launched->shared_bytes) {
    report_and_end_block("out of bounds", place, "the address of something that is not in shared memory");
  }
  return uint32_t(offset);
}

void cp_async_16(uint32_t destination, const void* source, bool valid, const Place& place) {
  Thread& self = running_thread();
  check_shared_range(destination, 16, 16, place);
  if (valid) {
    if (uintptr_t(source) % 16 != 0) report_and_end_block("misaligned", place, "the source of cp.async");
    check_global_access(uintptr_t(source), 16, false, place);
  }
  running_block().races->issue(self.number, running_block().window + destination, 16, place);
  std::memset(running_block().shared + destination, 0xff, 16);
  self.open_group.push_back({destination, valid ? source : nullptr});
}

void cp_async_commit() {
  Thread& self = running_thread();
  self.groups.push_back(std::move(self.open_group));
  self.open_group.clear();
}

void wait_for_groups(int still_in_flight) {
  Thread& self = running_thread();
  while (int(self.groups.size()) > still_in_flight) {
    for (const AsyncCopy& copy : self.groups.front()) {
      unsigned char* to = running_block().shared + copy.destination;
      copy.source ? std::memcpy(to, copy.source, 16) : std::memset(to, 0, 16);
      running_block().races->arrive(self.number, running_block().window + copy.destination, 16);
    }
    self.groups.pop_front();
  }
}

}  // namespace skrr::cuda
