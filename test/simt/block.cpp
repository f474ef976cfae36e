// What the threads of the running block do: they wait for each other, meet, and touch memory.
#include "test/simt/block.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "test/simt/device_memory.h"
#include "test/simt/report.h"

namespace simt {
namespace {

void release(std::vector<Thread*>& waiting) {
  std::vector<int> met;
  for (const Thread* thread : waiting) met.push_back(thread->number);
  running_block().races->join(met);
  for (Thread* thread : std::exchange(waiting, {})) wake(*thread);
}

}  // namespace

void end_block() {
  running_block().cluster->ended = true;
  running_thread().fiber.step_aside();
  std::abort();
}

void park(const char* operation, const Place& place) {
  Thread& self = running_thread();
  self.waits_in = operation;
  self.waits_at = place;
  self.fiber.step_aside();
}

void wake(Thread& thread) { thread.block->cluster->runnable.push_back(&thread); }

void release_barriers_if_complete() {
  Block& block = running_block();
  if (!block.at_barrier.empty() && int(block.at_barrier.size()) == block.alive) release(block.at_barrier);
  Cluster& cluster = *block.cluster;
  int alive = 0;
  for (const auto& b : cluster.blocks) alive += b->alive;
  if (!cluster.at_barrier.empty() && int(cluster.at_barrier.size()) == alive) release(cluster.at_barrier);
}

void sync_cluster(const Place& place) {
  running_block().cluster->at_barrier.push_back(&running_thread());
  release_barriers_if_complete();
  park("barrier.cluster", place);
}

void sync_threads(const Place& place) {
  Block& block = running_block();
  if (block.at_barrier.empty()) {
    block.barrier_place = place;
  } else if (block.barrier_place != place) {
    report("divergence", place, "__syncthreads: other threads of the block are at " + block.barrier_place.text());
  }
  block.at_barrier.push_back(&running_thread());
  release_barriers_if_complete();
  park("__syncthreads", place);
}

void meet(const char* operation, uint32_t mask, const Place& place, void* argument,
          void (*execute)(Meeting&)) {
  Thread& self = running_thread();
  if (!(mask >> self.lane() & 1)) {
    report_and_end_block("divergence", place, std::string(operation) + ": a lane that its own mask leaves out");
  }
  std::vector<Meeting>& meetings = running_block().meetings[size_t(self.warp())];
  const auto found = std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& m) { return m.mask & mask; });
  Meeting* meeting = found == meetings.end() ? &meetings.emplace_back(Meeting{operation, place, mask}) : &*found;
  if (meeting->mask != mask || meeting->place != place) {
    report_and_end_block("divergence", place, std::string(operation) + " while other lanes of the warp are in " +
                                                  meeting->operation + " at " + meeting->place.text());
  }
  meeting->arguments[self.lane()] = argument;
  if (++meeting->arrived < __builtin_popcount(mask)) return park(operation, place);
  Meeting complete = *meeting;
  meetings.erase(meetings.begin() + (meeting - meetings.data()));
  execute(complete);
  for (int lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1) && lane != self.lane()) wake(*running_block().threads[size_t(self.warp() * 32 + lane)]);
  }
}

// --- memory ---

void check_shared_range(uint32_t offset, uint32_t bytes, uint32_t alignment, const Place& place) {
  const size_t size = running_block().launched->shared_bytes;
  if (offset % alignment != 0) {
    report_and_end_block("misaligned", place, "shared offset " + std::to_string(offset));
  }
  if (size_t(offset) + bytes > size) {
    report_and_end_block("out of bounds", place, std::to_string(bytes) + " bytes at shared offset " +
                                                     std::to_string(offset) + " of " + std::to_string(size));
  }
}

void check_access(uintptr_t address, uint32_t bytes, uint32_t alignment, bool write, const Place& place) {
  Thread& self = running_thread();
  if (self.fiber.owns(address)) {
    for (const Lent& lent : self.lent) {
      if (address - lent.address >= lent.bytes) continue;
      report("not waited for", place, std::string("registers of products in flight are ") + (write ? "written" : "read"));
    }
    return;
  }
  if (address % alignment != 0) report_and_end_block("misaligned", place, "an access of " + std::to_string(bytes) + " bytes");
  const uintptr_t guarded = address - (uintptr_t(running_block().shared) - kSharedGuard);
  if (guarded >= running_block().launched->shared_bytes + 2 * kSharedGuard) {
    return check_global_access(address, bytes, write, place);
  }
  const uint32_t offset = uint32_t(guarded - kSharedGuard);  // before the start: wraps to far past the end
  check_shared_range(offset, bytes, 1, place);
  if (write) {
    running_block().races->write(self.number, running_block().window + offset, bytes, place);
  } else {
    running_block().races->read(self.number, running_block().window + offset, bytes, place);
  }
}

}  // namespace simt
