// Finds accesses to one thread block's shared memory that no barrier orders, and reads of what was never written.
//
// Vector clocks: clock(t)[u] is the latest step of thread u that thread t knows to be over. A barrier makes its threads
// know what each of them knows. An access is a race when the earlier one's step is not known to its thread. So a missing
// barrier is found in whatever order the threads happened to run.
#pragma once

#include <cstdint>
#include <vector>

#include "test/simt/place.h"

namespace simt {

class RaceDetector {
 public:
  RaceDetector(int threads, size_t shared_bytes);

  void read(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  void write(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  // An asynchronous copy into shared memory: in flight from issue() to arrive(), both by the thread that issued it.
  // Meanwhile nobody may touch the destination, its own thread included.
  void issue(int thread, uint32_t offset, uint32_t bytes, const Place& place);
  void arrive(int thread, uint32_t offset, uint32_t bytes);

  // The threads met at a barrier.
  void join(const std::vector<int>& threads);

  // For memory outside the block: thread's own step, and whether `thread` knows that step of `other` to be over.
  uint32_t step(int thread) const { return clock(thread)[thread]; }
  bool knows(int thread, int other, uint32_t step) const { return thread == other || clock(thread)[other] >= step; }

 private:
  static constexpr uint32_t kCellBytes = 2;  // one bf16
  static constexpr int kNobody = -1, kSeveral = -2;

  struct Cell {
    int writer = kNobody, reader = kNobody;
    uint32_t write_step = 0;
    uint32_t read_step = 0;  // kSeveral: index into reader_sets_
    bool initialised = false, in_flight = false;
    Place write_place, read_place;
  };

  uint32_t* clock(int thread) { return &clocks_[size_t(thread) * size_t(threads_)]; }
  const uint32_t* clock(int thread) const { return &clocks_[size_t(thread) * size_t(threads_)]; }
  void check_against_write(int thread, const Cell& cell, size_t index, const char* access, const Place& place);
  void check_against_readers(int thread, const Cell& cell, size_t index, const Place& place);
  void remember_reader(int thread, Cell& cell);
  void write(int thread, uint32_t offset, uint32_t bytes, const Place& place, bool in_flight);

  const int threads_;
  std::vector<uint32_t> clocks_;  // [thread][thread]
  std::vector<Cell> cells_;
  std::vector<std::vector<uint32_t>> reader_sets_;  // last step in which each thread read, 0: never
  std::vector<uint32_t> free_sets_;
};

}  // namespace simt
