#include "test/simt/race_detector.h"

#include <algorithm>
#include <cstring>

#include "test/simt/report.h"

namespace simt {

std::string thread_name(int thread) {
  return "thread " + std::to_string(thread) + " (warp " + std::to_string(thread / 32) + ")";
}

RaceDetector::RaceDetector(int threads, size_t shared_bytes)
    : threads_(threads),
      row_(size_t(threads + kMaxBlocks * kMaxBarriers + (threads + 31) / 32)),
      clocks_(size_t(threads) * row_, 0),
      cells_((shared_bytes + kCellBytes - 1) / kCellBytes),
      fenced_(size_t(threads), 0) {
  for (int t = 0; t < threads; t++) clock(t)[t] = 1;
}

void RaceDetector::read(int thread, uint32_t offset, uint32_t bytes, const Place& place) {
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    Cell& cell = cells_[i];
    if (!cell.initialised) {
      report("uninitialised", place, "shared byte " + std::to_string(i * kCellBytes) + " is read by " +
                                         thread_name(thread) + " but was never written");
      cell.initialised = true;  // once
    }
    check_against_write(thread, cell, i, "read", place);
    remember_reader(thread, cell);
    cell.read_place = place;
  }
}

void RaceDetector::write(int thread, uint32_t offset, uint32_t bytes, const Place& place) {
  write(thread, offset, bytes, place, false);
}

void RaceDetector::issue(int thread, uint32_t offset, uint32_t bytes, const Place& place) {
  write(thread, offset, bytes, place, true);
}

void RaceDetector::write(int thread, uint32_t offset, uint32_t bytes, const Place& place, bool in_flight) {
  if (!products_.empty()) check_against_products(thread, offset, bytes, place);
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    Cell& cell = cells_[i];
    check_against_write(thread, cell, i, "written", place);
    check_against_readers(thread, cell, i, place);
    if (cell.reader == kSeveral) free_sets_.push_back(cell.read_step);
    cell.reader = kNobody;
    cell.writer = thread;
    cell.write_step = step(thread);
    cell.initialised = true;
    cell.in_flight = in_flight;
    cell.write_place = place;
  }
}

void RaceDetector::arrive(int thread, uint32_t offset, uint32_t bytes) {
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    if (cells_[i].writer != thread || !cells_[i].in_flight) continue;  // overwritten since: reported then
    cells_[i].in_flight = false;
    cells_[i].write_step = step(thread);
  }
}

void RaceDetector::join(const std::vector<int>& threads) {
  std::vector<uint32_t> joined(row_, 0);
  for (int t : threads) {
    const uint32_t* known = clock(t);
    for (size_t u = 0; u < row_; u++) joined[u] = std::max(joined[u], known[u]);
  }
  for (int t : threads) {
    std::memcpy(clock(t), joined.data(), row_ * sizeof(uint32_t));
    clock(t)[t]++;
  }
}

void RaceDetector::check_against_write(int thread, const Cell& cell, size_t index, const char* access,
                                       const Place& place) {
  if (cell.writer == kNobody) return;
  const auto what = [&] {
    return "shared byte " + std::to_string(index * kCellBytes) + " is " + access + " by " + thread_name(thread);
  };
  if (cell.in_flight) {
    report(cell.writer == thread ? "not waited for" : "race", place,
           what() + " while the asynchronous copy of " + thread_name(cell.writer) + " into it is in flight");
  } else if (!knows(thread, cell.writer, cell.write_step)) {
    const std::string by = cell.writer < threads_ ? thread_name(cell.writer) : "a copy nobody has waited for";
    report("race", place, what() + " and was written by " + by + " (" + cell.write_place.text() +
                              ") with no barrier between");
  }
}

void RaceDetector::check_against_readers(int thread, const Cell& cell, size_t index, const Place& place) {
  int racing = kNobody;
  if (cell.reader == kSeveral) {
    const std::vector<uint32_t>& steps = reader_sets_[cell.read_step];
    for (int u = 0; u < threads_ && racing == kNobody; u++) {
      if (steps[size_t(u)] > 0 && !knows(thread, u, steps[size_t(u)])) racing = u;
    }
  } else if (cell.reader != kNobody && !knows(thread, cell.reader, cell.read_step)) {
    racing = cell.reader;
  }
  if (racing == kNobody) return;
  report("race", place, "shared byte " + std::to_string(index * kCellBytes) + " is overwritten by " +
                            thread_name(thread) + " while " + thread_name(racing) + " may still read it (" +
                            cell.read_place.text() + ")");
}

// One reader is remembered in the cell; only readers that no barrier orders need a set.
void RaceDetector::remember_reader(int thread, Cell& cell) {
  if (cell.reader == kSeveral) {
    reader_sets_[cell.read_step][size_t(thread)] = step(thread);
    return;
  }
  if (cell.reader == kNobody || knows(thread, cell.reader, cell.read_step)) {
    cell.reader = thread;
    cell.read_step = step(thread);
    return;
  }
  if (free_sets_.empty()) {
    free_sets_.push_back(uint32_t(reader_sets_.size()));
    reader_sets_.emplace_back(size_t(threads_));
  }
  const uint32_t index = free_sets_.back();
  free_sets_.pop_back();
  std::fill(reader_sets_[index].begin(), reader_sets_[index].end(), 0u);
  reader_sets_[index][size_t(cell.reader)] = cell.read_step;
  reader_sets_[index][size_t(thread)] = step(thread);
  cell.reader = kSeveral;
  cell.read_step = index;
}

}  // namespace simt
