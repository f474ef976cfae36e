// Finds accesses to one thread block's shared memory that no barrier orders, and reads of what was never written.
//
// Vector clocks: clock(t)[u] is the latest step of thread u that thread t knows to be over. A barrier makes its threads
// know what each of them knows. An access is a race when the earlier one's step is not known to its thread. So a missing
// barrier is found in whatever order the threads happened to run.
//
// What runs beside the threads (Hopper's asynchronous proxy) has entries in the clocks too. Copies that count at an
// mbarrier: the step is the phase they count in. The products of a warpgroup: the step is their group, and each of the four
// warps learns by its own wait that it is over. Both see what threads wrote to shared memory only if the writer fenced.
#pragma once

#include <cstdint>
#include <vector>

#include "test/simt/place.h"

namespace simt {

class RaceDetector {
 public:
  static constexpr int kMaxBarriers = 16;  // mbarriers of a block
  static constexpr int kMaxBlocks = 2;     // of a cluster
  using Clock = std::vector<uint32_t>;

  RaceDetector(int threads, size_t shared_bytes);

  void read(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  void write(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  // An asynchronous copy into shared memory: in flight from issue() to arrive(), both by the thread that issued it.
  // Meanwhile nobody may touch the destination, its own thread included.
  void issue(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  void arrive(int thread, uint32_t offset, uint32_t bytes);

  // The threads met at a barrier.
  void join(const std::vector<int>& threads);

  // --- mbarriers, and the asynchronous proxy (race_detector_async.cpp) ---

  // At an arrival what the thread knows goes into the phase's clock; at a wait the thread comes to know it.
  void release(int thread, Clock& phase);
  void acquire(int thread, const Clock& phase);
  // All copies that counted in this phase (1: the first) of the barrier are over.
  void add_copies(Clock& phase_clock, int barrier, uint32_t phase) const;
  // A copy that `thread` issued has arrived.
  void deliver(int thread, uint32_t offset, uint32_t bytes, int barrier, uint32_t phase);

  // Whether something orders what was last written there before the thread's next step.
  bool knows_write(int thread, uint32_t offset) const;

  void fence_async_proxy(int thread);
  // `thread` has the asynchronous proxy use these bytes.
  void use_async(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  // Products of this group of the warpgroup read 16 bytes, from now until they are over.
  void use_in_products(int warpgroup, uint32_t group, uint32_t offset, const Place& place);
  // `thread` has waited for the groups of its warpgroup up to this one.
  void know_products(int thread, uint32_t group);

  // For memory outside the block: thread's own step, and whether `thread` knows that step of `other` to be over.
  uint32_t step(int thread) const { return clock(thread)[thread]; }
  bool knows(int thread, int other, uint32_t step) const { return thread == other || clock(thread)[other] >= step; }

 private:
  static constexpr uint32_t kCellBytes = 2;  // one bf16
  static constexpr uint32_t kChunkBytes = 16;
  static constexpr int kNobody = -1, kSeveral = -2;

  struct Cell {
    int writer = kNobody, reader = kNobody;
    uint32_t write_step = 0;
    uint32_t read_step = 0;  // kSeveral: index into reader_sets_
    bool initialised = false, in_flight = false;
    Place write_place, read_place;
  };

  uint32_t* clock(int thread) { return &clocks_[size_t(thread) * row_]; }
  const uint32_t* clock(int thread) const { return &clocks_[size_t(thread) * row_]; }
  int copies_of(int barrier) const { return threads_ + barrier; }  // entries of the clocks
  int products_of(int warp) const { return threads_ + kMaxBlocks * kMaxBarriers + warp; }
  void check_against_write(int thread, const Cell& cell, size_t index, const char* access, const Place& place);
  void check_against_readers(int thread, const Cell& cell, size_t index, const Place& place);
  void check_against_products(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  void check_fenced(const Cell& cell, size_t index, const Place& place);
  void remember_reader(int thread, Cell& cell);
  void write(int thread, uint32_t offset, uint32_t bytes, const Place& place, bool in_flight);

  const int threads_;
  const size_t row_;              // entries of a clock
  std::vector<uint32_t> clocks_;  // [thread][row]
  std::vector<Cell> cells_;
  std::vector<std::vector<uint32_t>> reader_sets_;  // last step in which each thread read, 0: never
  std::vector<uint32_t> free_sets_;
  std::vector<uint32_t> fenced_;  // [thread]: the step before its last fence
  std::vector<std::vector<uint32_t>> products_;  // [warpgroup][chunk]: the last group that reads it, 0: none; or empty
};

std::string thread_name(int thread);

}  // namespace simt
