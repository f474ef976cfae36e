// mbarriers and setmaxnreg: how warpgroups with different roles hand each other data and registers.
#include <utility>

#include "test/simt/async_proxy.h"
#include "test/simt/block.h"
#include "test/simt/hopper_intrinsics.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr int64_t kMaxBytes = (1 << 20) - 1;  // that a barrier can count

void end_phase_if_complete(Mbarrier& barrier) {
  if (barrier.arrivals_left > 0 || barrier.bytes_left != 0) return;
  barrier.phase++;
  barrier.block->races->add_copies(barrier.arriving, barrier.number, barrier.phase);
  barrier.over = barrier.arriving;  // later arrivals are added: what once was known stays so
  barrier.arrivals_left = barrier.arrivals;
  for (Thread* thread : std::exchange(barrier.waiting, {})) wake(*thread);
}

void arrive(Block& block, uint32_t offset, uint32_t bytes, const Place& place) {
  Mbarrier& barrier = find_mbarrier_in_cluster(block, offset, place);
  if (barrier.arrivals_left == 0) {
    report_and_end_block("mbarrier", place, "one arrival more than the " + std::to_string(barrier.arrivals) +
                                                " a phase of the barrier at " + std::to_string(offset) + " expects");
  }
  barrier.bytes_left += bytes;
  if (barrier.bytes_left > kMaxBytes) report_and_end_block("mbarrier", place, "more bytes than a barrier can count");
  barrier.arrivals_left--;
  block.races->release(running_thread().number, barrier.arriving);
  end_phase_if_complete(barrier);
}

}  // namespace

Mbarrier& find_mbarrier(Block& block, uint32_t offset, const Place& place) {
  check_shared_range(offset, 8, 8, place);
  const auto found = block.async.barriers.find(offset);
  if (found == block.async.barriers.end()) {
    report_and_end_block("mbarrier", place, "no barrier was initialised at shared offset " + std::to_string(offset));
  }
  if (!block.races->knows_write(running_thread().number, block.window + offset)) {
    report("mbarrier", place, "nothing orders this after the initialisation of the barrier");
  }
  return found->second;
}

Mbarrier& find_mbarrier_in_cluster(Block& block, uint32_t offset, const Place& place) {
  Mbarrier& barrier = find_mbarrier(block, offset, place);
  if (&block != &running_block() && !barrier.fenced) {
    report("mbarrier", place, "its initialisation was not fenced for other blocks");
  }
  return barrier;
}

void count_bytes(Mbarrier& barrier, uint32_t bytes, const Place& place) {
  barrier.bytes_left -= bytes;
  if (barrier.bytes_left < -kMaxBytes) report("mbarrier", place, "more bytes than a barrier can count");
  end_phase_if_complete(barrier);
}

}  // namespace simt

namespace skrr::cuda {

using namespace simt;

void mbarrier_init(uint32_t offset, uint32_t arrivals, const Place& place) {
  check_shared_range(offset, 8, 8, place);
  Block& block = running_block();
  const int number = int(block.async.barriers.size());
  if (number == RaceDetector::kMaxBarriers) report_and_end_block("mbarrier", place, "more barriers than the machine has");
  block.races->write(running_thread().number, block.window + offset, 8, place);
  Mbarrier barrier{};
  barrier.block = &block, barrier.number = block.rank * RaceDetector::kMaxBarriers + number;
  barrier.owner = running_thread().number;
  barrier.arrivals = arrivals, barrier.arrivals_left = arrivals;
  if (!block.async.barriers.emplace(offset, barrier).second) {
    report_and_end_block("mbarrier", place, "the barrier is in use already");
  }
}

void fence_mbarrier_init() {
  for (auto& [offset, barrier] : running_block().async.barriers) {
    barrier.fenced |= barrier.owner == running_thread().number;
  }
}

void mbarrier_arrive(uint32_t offset, const Place& place) { mbarrier_arrive_expect(offset, 0, place); }

void mbarrier_arrive_expect(uint32_t offset, uint32_t bytes, const Place& place) {
  arrive(running_block(), offset, bytes, place);
}

// An address in the shared memory of a block of the cluster: its rank and one above the bits of an offset.
constexpr uint32_t kRankBit = 24;

uint32_t cluster_address(uint32_t offset, int rank, const Place& place) {
  if (rank < 0 || size_t(rank) >= running_block().cluster->blocks.size()) {
    report_and_end_block("cluster", place, "there is no block " + std::to_string(rank));
  }
  return uint32_t(rank + 1) << kRankBit | offset;
}

void mbarrier_arrive_cluster(uint32_t address, const Place& place) {
  Block& block = *running_block().cluster->blocks.at((address >> kRankBit) - 1);
  if (block.alive == 0) report("cluster", place, "an arrival at a barrier of a block that has ended");
  arrive(block, address & ((1u << kRankBit) - 1), 0, place);
}

int cluster_rank() { return running_block().rank; }

void cluster_sync(const Place& place) { sync_cluster(place); }

void mbarrier_wait(uint32_t offset, uint32_t parity, const Place& place) {
  Mbarrier& barrier = find_mbarrier(running_block(), offset, place);
  while (barrier.phase % 2 == parity % 2) {
    barrier.waiting.push_back(&running_thread());
    park("mbarrier.try_wait", place);
  }
  running_block().races->acquire(running_thread().number, barrier.over);
}

// From now on each thread holds `registers`; to get more it waits until others have given enough back.
void set_registers(int registers, const Place& place) {
  AsyncProxy& async = running_block().async;
  Thread& self = running_thread();
  if (registers < 24 || registers > 256 || registers % 8 != 0) {
    report_and_end_block("registers", place, "setmaxnreg " + std::to_string(registers) +
                                                 ", expected a multiple of 8 from 24 to 256");
  }
  while (registers - self.registers > async.registers_left) {
    async.waiting_for_registers.push_back(&self);
    park("setmaxnreg", place);
  }
  async.registers_left -= registers - self.registers;
  self.registers = registers;
  for (Thread* thread : std::exchange(async.waiting_for_registers, {})) wake(*thread);
}

}  // namespace skrr::cuda
