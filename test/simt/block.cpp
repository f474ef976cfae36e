#include "test/simt/block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "test/simt/counters.h"
#include "test/simt/device_memory.h"
#include "test/simt/ptx.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr size_t kSharedLimit = 227 * 1024;  // of the largest architecture; the backend keeps to smaller ones itself
constexpr int kRegisters = 65536;                // of a multiprocessor
constexpr size_t kSharedGuard = 4096;        // around shared memory: an access just outside is told from a wild one

Block* block_now = nullptr;
Thread* thread_now = nullptr;
Schedule schedule;
std::mt19937_64 random_order;

Thread& thread_of_pool(size_t index) {
  static std::vector<std::unique_ptr<Thread>> pool;
  while (pool.size() <= index) pool.push_back(std::make_unique<Thread>());
  return *pool[index];
}

void release_barrier_if_complete() {
  Block& block = *block_now;
  if (block.at_barrier.empty() || int(block.at_barrier.size()) < block.alive) return;
  std::vector<int> met;
  for (const Thread* thread : block.at_barrier) met.push_back(thread->index);
  block.races->join(met);
  for (Thread* thread : std::exchange(block.at_barrier, {})) wake(*thread);
}

void thread_main() {
  const Launch& launched = *block_now->launched;
  if (launched.program) {
    ptx::run(*launched.program, launched.parameters.data());
  } else {
    launched.call(launched.arguments.data());
  }
  Thread& self = *thread_now;
  if (!self.open_group.empty() || !self.groups.empty()) {
    report("not waited for", Place(), "a thread ends with an asynchronous copy in flight");
  }
  if (!self.lent.empty()) report("not waited for", Place(), "a thread ends with products in flight");
  self.done = true;
  block_now->alive--;
  release_barrier_if_complete();  // threads that ended no longer take part
  self.fiber.step_aside();
  std::abort();
}

Thread* next_thread(std::vector<Thread*>& runnable, size_t& head) {
  if (schedule.order == Schedule::kInTurn) {
    Thread* next = runnable[head++];
    if (head == runnable.size()) runnable.clear(), head = 0;
    return next;
  }
  const size_t pick = schedule.order == Schedule::kBackwards ? runnable.size() - 1 : random_order() % runnable.size();
  std::swap(runnable[pick], runnable.back());
  Thread* next = runnable.back();
  runnable.pop_back();
  return next;
}

void report_deadlock(const Block& block) {
  std::map<std::string, int> waiting;
  for (const Thread* thread : block.threads) {
    if (!thread->done) waiting[std::string(thread->waits_in) + " at " + thread->waits_at.text()]++;
  }
  std::string text = "block " + std::to_string(block.index) + ":";
  for (const auto& [where, count] : waiting) text += " " + std::to_string(count) + " threads wait in " + where + ";";
  report("deadlock", Place(), text);
}

void run_block(const Launch& launched, uint32_t launch_number, uint32_t index) {
  const Dim3 grid = launched.grid, size = launched.block;
  Block block;
  block.launched = &launched;
  block.launch = launch_number;
  block.index = index;
  block.id = {index % grid.x, index / grid.x % grid.y, index / grid.x / grid.y};
  block.alive = int(size.x * size.y * size.z);
  block.races = std::make_unique<RaceDetector>(block.alive, launched.shared_bytes);
  block.meetings.resize(size_t(block.alive + 31) / 32);

  void* memory = nullptr;
  if (posix_memalign(&memory, 1024, launched.shared_bytes + 2 * kSharedGuard) != 0) throw std::bad_alloc();
  std::memset(memory, 0xff, launched.shared_bytes + 2 * kSharedGuard);  // NaN
  block.shared = static_cast<unsigned char*>(memory) + kSharedGuard;

  block_now = &block;
  for (int t = 0; t < block.alive; t++) {
    Thread& thread = thread_of_pool(size_t(t));
    thread.index = t;
    thread.id = {unsigned(t) % size.x, unsigned(t) / size.x % size.y, unsigned(t) / size.x / size.y};
    thread.done = false;
    thread.open_group.clear(), thread.groups.clear(), thread.lent.clear(), thread.fenced_maps.clear();
    thread.registers = std::min(kRegisters / block.alive / 8 * 8, 248);
    thread.fiber.start(thread_main);
    block.threads.push_back(&thread);
  }
  block.runnable = block.threads;
  block.async.registers_left = kRegisters - int(block.threads.size()) * block.threads[0]->registers;
  size_t head = 0;
  while (!block.ended) {
    if (block.runnable.empty()) {
      if (!deliver_copy()) break;
      continue;
    }
    thread_now = next_thread(block.runnable, head);
    thread_now->fiber.resume();
    thread_now = nullptr;
  }
  if (!block.ended && block.alive > 0) report_deadlock(block);
  block_now = nullptr;
  std::free(memory);
}

// --- launches ---

uint32_t launches = 0;
std::vector<Launch>* noted = nullptr;

void run(const Launch& launched) {
  launches++;
  counters.launches++;
  const Dim3 grid = launched.grid, size = launched.block;
  if (size.x * size.y * size.z > 1024 || launched.shared_bytes > kSharedLimit || grid.y > 65535 || grid.z > 65535 ||
      grid.x * grid.y * grid.z == 0 || size.x * size.y * size.z == 0) {
    report("bad launch", Place(), std::to_string(size.x * size.y * size.z) + " threads, " +
                                      std::to_string(launched.shared_bytes) + " bytes of shared memory, grid " +
                                      std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
                                      std::to_string(grid.z));
    return;
  }
  random_order.seed(schedule.seed);
  for (uint32_t b = 0; b < grid.x * grid.y * grid.z; b++) run_block(launched, launches, b);
}

}  // namespace

void set_schedule(const Schedule& wanted) { schedule = wanted; }

void launch(Dim3 grid, Dim3 block, size_t shared_bytes, const Kernel& kernel) {
  const std::byte* bytes = static_cast<const std::byte*>(kernel.arguments);
  Launch launched{grid, block, shared_bytes, {bytes, bytes + kernel.argument_bytes}, kernel.call,
                  ptx::program_of(kernel.function), {kernel.parameters, kernel.parameters + kernel.parameter_bytes}};
  if (launched.program && launched.program->parameter_bytes != kernel.parameter_bytes) {
    report("bad launch", Place(), launched.program->name + " takes " + std::to_string(launched.program->parameter_bytes) +
                                      " bytes of parameters, not " + std::to_string(kernel.parameter_bytes));
    return;
  }
  if (noted) {
    noted->push_back(std::move(launched));
  } else {
    run(launched);
  }
}

void start_recording() { noted = new std::vector<Launch>; }

Recording stop_recording() {
  const std::shared_ptr<std::vector<Launch>> recorded(std::exchange(noted, nullptr));
  return [recorded] {
    for (const Launch& launched : *recorded) run(launched);
  };
}

bool recording() { return noted != nullptr; }

// --- for the threads of the block ---

Block& running_block() { return *block_now; }
Thread& running_thread() { return *thread_now; }
bool in_kernel() { return thread_now != nullptr; }

void end_block() {
  block_now->ended = true;
  thread_now->fiber.step_aside();
  std::abort();
}

void park(const char* operation, const Place& place) {
  thread_now->waits_in = operation;
  thread_now->waits_at = place;
  thread_now->fiber.step_aside();
}

void wake(Thread& thread) { block_now->runnable.push_back(&thread); }

void sync_threads(const Place& place) {
  Block& block = *block_now;
  if (block.at_barrier.empty()) {
    block.barrier_place = place;
  } else if (block.barrier_place != place) {
    report("divergence", place, "__syncthreads: other threads of the block are at " + block.barrier_place.text());
  }
  block.at_barrier.push_back(thread_now);
  release_barrier_if_complete();
  park("__syncthreads", place);
}

void meet(const char* operation, uint32_t mask, const Place& place, void* argument,
          void (*execute)(Meeting&)) {
  Thread& self = *thread_now;
  if (!(mask >> self.lane() & 1)) {
    report_and_end_block("divergence", place, std::string(operation) + ": a lane that its own mask leaves out");
  }
  std::vector<Meeting>& meetings = block_now->meetings[size_t(self.warp())];
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
    if ((mask >> lane & 1) && lane != self.lane()) wake(*block_now->threads[size_t(self.warp() * 32 + lane)]);
  }
}

// --- memory ---

void check_shared_range(uint32_t offset, uint32_t bytes, uint32_t alignment, const Place& place) {
  const size_t size = block_now->launched->shared_bytes;
  if (offset % alignment != 0) {
    report_and_end_block("misaligned", place, "shared offset " + std::to_string(offset));
  }
  if (size_t(offset) + bytes > size) {
    report_and_end_block("out of bounds", place, std::to_string(bytes) + " bytes at shared offset " +
                                                     std::to_string(offset) + " of " + std::to_string(size));
  }
}

void check_access(uintptr_t address, uint32_t bytes, uint32_t alignment, bool write, const Place& place) {
  Thread& self = *thread_now;
  if (self.fiber.owns(address)) {
    for (const Lent& lent : self.lent) {
      if (address - lent.address >= lent.bytes) continue;
      report("not waited for", place, std::string("registers of products in flight are ") + (write ? "written" : "read"));
    }
    return;
  }
  if (address % alignment != 0) report_and_end_block("misaligned", place, "an access of " + std::to_string(bytes) + " bytes");
  const uintptr_t guarded = address - (uintptr_t(block_now->shared) - kSharedGuard);
  if (guarded >= block_now->launched->shared_bytes + 2 * kSharedGuard) {
    return check_global_access(address, bytes, write, place);
  }
  const uint32_t offset = uint32_t(guarded - kSharedGuard);  // before the start: wraps to far past the end
  check_shared_range(offset, bytes, 1, place);
  if (write) {
    block_now->races->write(self.index, offset, bytes, place);
  } else {
    block_now->races->read(self.index, offset, bytes, place);
  }
}

}  // namespace simt
