// The race detector's part for mbarriers and what runs beside the threads.
#include <algorithm>
#include <utility>

#include "test/simt/race_detector.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr int kWarpgroup = 128;

std::string shared_byte(size_t offset) { return "shared byte " + std::to_string(offset); }

}  // namespace

void RaceDetector::release(int thread, Clock& phase) {
  phase.resize(row_);
  const uint32_t* known = clock(thread);
  for (size_t u = 0; u < row_; u++) phase[u] = std::max(phase[u], known[u]);
  clock(thread)[thread]++;
}

void RaceDetector::acquire(int thread, const Clock& phase) {
  uint32_t* known = clock(thread);
  for (size_t u = 0; u < phase.size(); u++) known[u] = std::max(known[u], phase[u]);
}

void RaceDetector::add_copies(Clock& phase_clock, int barrier, uint32_t phase) const {
  phase_clock.resize(row_);
  phase_clock[size_t(copies_of(barrier))] = phase;
}

void RaceDetector::deliver(int thread, uint32_t offset, uint32_t bytes, int barrier, uint32_t phase) {
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    Cell& cell = cells_[i];
    if (cell.writer != thread || !cell.in_flight) continue;  // overwritten since: reported then
    cell.in_flight = false;
    cell.writer = copies_of(barrier);
    cell.write_step = phase;
  }
}

bool RaceDetector::knows_write(int thread, uint32_t offset) const {
  const Cell& cell = cells_[offset / kCellBytes];
  return cell.writer == kNobody || knows(thread, cell.writer, cell.write_step);
}

void RaceDetector::fence_async_proxy(int thread) {
  fenced_[size_t(thread)] = step(thread);
  clock(thread)[thread]++;
}

void RaceDetector::check_fenced(const Cell& cell, size_t index, const Place& place) {
  if (cell.writer == kNobody || cell.writer >= threads_ || cell.in_flight) return;
  if (cell.write_step <= fenced_[size_t(cell.writer)]) return;
  report("no proxy fence", place, shared_byte(index * kCellBytes) + " is used by the asynchronous proxy, and " +
                                      thread_name(cell.writer) + " (" + cell.write_place.text() +
                                      ") did not fence after it wrote");
}

void RaceDetector::use_async(int thread, uint32_t offset, uint32_t bytes, const Place& place) {
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    check_against_write(thread, cells_[i], i, "used", place);
    check_fenced(cells_[i], i, place);
  }
}

void RaceDetector::use_in_products(int warpgroup, uint32_t group, uint32_t offset, const Place& place) {
  const int first = warpgroup * kWarpgroup, end = std::min(first + kWarpgroup, threads_);
  int writer = kNobody;  // of the previous cell, usually the same
  uint32_t write_step = 0;
  for (size_t i = offset / kCellBytes; i < (offset + kChunkBytes) / kCellBytes; i++) {
    Cell& cell = cells_[i];
    if (!cell.initialised) {
      report("uninitialised", place, shared_byte(i * kCellBytes) + " is multiplied but was never written");
      cell.initialised = true;  // once
    }
    if (cell.writer == writer && cell.write_step == write_step && !cell.in_flight) continue;
    writer = cell.writer, write_step = cell.write_step;
    for (int t = first; t < end; t++) {
      if (cell.in_flight || (writer != kNobody && !knows(t, writer, write_step))) {
        check_against_write(t, cell, i, "multiplied", place);
        break;
      }
    }
    check_fenced(cell, i, place);
  }
  products_.resize(std::max(products_.size(), size_t(warpgroup) + 1));
  std::vector<uint32_t>& chunks = products_[size_t(warpgroup)];
  chunks.resize(cells_.size() * kCellBytes / kChunkBytes + 1);
  chunks[offset / kChunkBytes] = group;
}

void RaceDetector::know_products(int thread, uint32_t group) { clock(thread)[products_of(thread / 32)] = group; }

// Reports products that still read bytes about to be overwritten.
void RaceDetector::check_against_products(int thread, uint32_t offset, uint32_t bytes, const Place& place) {
  for (size_t g = 0; g < products_.size(); g++) {
    if (products_[g].empty()) continue;
    for (size_t chunk = offset / kChunkBytes; chunk <= (offset + bytes - 1) / kChunkBytes; chunk++) {
      const uint32_t group = std::exchange(products_[g][chunk], 0u);
      for (int warp = 0; group > 0 && warp < kWarpgroup / 32; warp++) {
        if (knows(thread, products_of(int(g) * 4 + warp), group)) continue;
        report("race", place, shared_byte(chunk * kChunkBytes) + " is overwritten by " + thread_name(thread) +
                                  " while products of warpgroup " + std::to_string(g) + " may still read it");
        break;
      }
    }
  }
}

}  // namespace simt
