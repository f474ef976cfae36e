#include "test/simt/device_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "test/simt/block.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr uint32_t kCellBytes = 2;
constexpr int kNobody = -1;

struct Cell {
  uint32_t launch = 0;  // the rest but `initialised` belongs to this launch
  uint32_t write_block = 0, read_block = 0;
  uint32_t write_step = 0, read_step = 0;
  int writer = kNobody, reader = kNobody;
  bool read_by_blocks = false, read_by_threads = false;  // more than the one remembered
  bool initialised = false;
  Place write_place;
};

struct Allocation {
  uintptr_t begin = 0;
  size_t bytes = 0;
  std::vector<Cell> cells;
};

std::map<uintptr_t, Allocation> allocations;
size_t in_use = 0, peak_in_use = 0, allocated = 0, limit = std::numeric_limits<size_t>::max();

Allocation* find(uintptr_t address) {
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return nullptr;
  Allocation& candidate = std::prev(after)->second;
  return address - candidate.begin < candidate.bytes ? &candidate : nullptr;
}

std::string nearest(uintptr_t address) {
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return "no allocation is near";
  const Allocation& a = std::prev(after)->second;
  return "the nearest allocation has " + std::to_string(a.bytes) + " bytes, this is at offset " +
         std::to_string(address - a.begin);
}

void check_cell(Cell& cell, size_t offset, bool write, const Place& place) {
  const Block& block = running_block();
  const int thread = running_thread().number;
  if (cell.launch != block.launch) cell = Cell{block.launch, 0, 0, 0, 0, kNobody, kNobody, false, false, cell.initialised, {}};

  if (!write && !cell.initialised) {
    report("uninitialised", place, "device memory at offset " + std::to_string(offset) + " is read but was never written");
    cell.initialised = true;  // once
  }
  const auto unordered = [&](uint32_t other_block, int other, uint32_t step) {
    return other_block != block.index || !block.races->knows(thread, other, step);
  };
  if (cell.writer != kNobody && unordered(cell.write_block, cell.writer, cell.write_step)) {
    report("race", place, "device memory at offset " + std::to_string(offset) + " is touched by block " +
                              std::to_string(block.index) + " and was written by block " +
                              std::to_string(cell.write_block) + " (" + cell.write_place.text() + ") in the same launch");
  }
  if (write) {
    const bool read_elsewhere = cell.reader != kNobody && (cell.read_by_blocks || cell.read_block != block.index);
    if (read_elsewhere || (cell.reader != kNobody && !cell.read_by_threads &&
                           unordered(cell.read_block, cell.reader, cell.read_step))) {
      report("race", place, "device memory at offset " + std::to_string(offset) + " is overwritten by block " +
                                std::to_string(block.index) + " while block " + std::to_string(cell.read_block) +
                                " may still read it");
    }
    cell.initialised = true;
    cell.writer = thread, cell.write_block = block.index, cell.write_step = block.races->step(thread);
    cell.write_place = place;
  } else {
    if (cell.reader != kNobody) {
      cell.read_by_blocks |= cell.read_block != block.index;
      cell.read_by_threads |= cell.reader != thread;
    }
    cell.reader = thread, cell.read_block = block.index, cell.read_step = block.races->step(thread);
  }
}

}  // namespace

void* allocate_device(size_t bytes) {
  if (bytes > limit - in_use) return nullptr;
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes > 0 ? bytes : 1) != 0) return nullptr;
  std::memset(memory, 0xff, bytes);  // NaN in float32, bf16 and double
  Allocation& a = allocations[uintptr_t(memory)];
  a.begin = uintptr_t(memory);
  a.bytes = bytes;
  a.cells.resize((bytes + kCellBytes - 1) / kCellBytes);
  in_use += bytes;
  peak_in_use = std::max(peak_in_use, in_use);
  allocated++;
  return memory;
}

void free_device(void* memory) {
  const auto found = allocations.find(uintptr_t(memory));
  if (found == allocations.end()) {
    report("out of bounds", Place(), "free of what is no allocation");
    return;
  }
  in_use -= found->second.bytes;
  allocations.erase(found);
  std::free(memory);
}

size_t device_bytes_in_use() { return in_use; }
size_t peak_device_bytes() { return peak_in_use; }
size_t device_allocations() { return allocated; }
void forget_device_history() { peak_in_use = in_use, allocated = 0; }
void limit_device_memory(size_t bytes) { limit = bytes; }
size_t device_memory_limit() { return limit; }

void mark_initialised(const void* memory, size_t bytes) {
  Allocation* a = find(uintptr_t(memory));
  if (bytes == 0) return;
  if (!a || uintptr_t(memory) + bytes > a->begin + a->bytes) {
    report("out of bounds", Place(), "the host writes outside of device memory: " + nearest(uintptr_t(memory)));
    return;
  }
  const size_t offset = uintptr_t(memory) - a->begin;
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) a->cells[i].initialised = true;
}

void check_host_read(const void* memory, size_t bytes, const Place& place) {
  const Allocation* a = find(uintptr_t(memory));
  if (bytes == 0) return;
  if (!a || uintptr_t(memory) + bytes > a->begin + a->bytes) {
    report("out of bounds", place, "the host reads outside of device memory: " + nearest(uintptr_t(memory)));
    return;
  }
  const size_t offset = uintptr_t(memory) - a->begin;
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    if (a->cells[i].initialised) continue;
    report("uninitialised", place, "the host reads device memory at offset " + std::to_string(i * kCellBytes) +
                                       " that was never written");
    return;
  }
}

void check_global_access(uintptr_t address, uint32_t bytes, bool write, const Place& place) {
  Allocation* a = find(address);
  if (!a || address + bytes > a->begin + a->bytes) {
    report_and_end_block("out of bounds", place, std::to_string(bytes) + " bytes are " + (write ? "written" : "read") +
                                                     " outside of device memory: " + nearest(address));
  }
  const size_t offset = address - a->begin;
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; i++) {
    check_cell(a->cells[i], i * kCellBytes, write, place);
  }
}

}  // namespace simt
