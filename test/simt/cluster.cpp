// Runs the blocks of a launch, cluster after cluster: a fiber for each thread, and who runs next.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>

#include "test/simt/block.h"
#include "test/simt/ptx.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr int kRegisters = 65536;  // of an SM

Thread* thread_now = nullptr;
Schedule schedule;
std::mt19937_64 random_order;

Thread& thread_of_pool(size_t number) {
  static std::vector<std::unique_ptr<Thread>> pool;
  while (pool.size() <= number) pool.push_back(std::make_unique<Thread>());
  return *pool[number];
}

void thread_main() {
  const Launch& launched = *running_block().launched;
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
  self.block->alive--;
  release_barriers_if_complete();  // threads that ended no longer take part
  self.fiber.step_aside();
  std::abort();
}

// Picks one of `count` threads or copies that may go on, where the schedule does not take them in turn.
size_t pick(size_t count) { return schedule.order == Schedule::kBackwards ? count - 1 : random_order() % count; }

Thread* next_thread(std::vector<Thread*>& runnable, size_t& head) {
  if (schedule.order == Schedule::kInTurn) {
    Thread* next = runnable[head++];
    if (head == runnable.size()) runnable.clear(), head = 0;
    return next;
  }
  std::swap(runnable[pick(runnable.size())], runnable.back());
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

// A block's shared memory, full of NaN, with guards around it: an access just outside is told from a wild one.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) {
    if (posix_memalign(&memory_, 1024, bytes + 2 * kSharedGuard) != 0) throw std::bad_alloc();
    std::memset(memory_, 0xff, bytes + 2 * kSharedGuard);
  }
  ~SharedMemory() { std::free(memory_); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  unsigned char* data() const { return static_cast<unsigned char*>(memory_) + kSharedGuard; }

 private:
  void* memory_ = nullptr;
};

void start_threads(Block& block, int count) {
  const Dim3 size = block.launched->block;
  for (int t = 0; t < count; t++) {
    const int number = block.rank * count + t;
    Thread& thread = thread_of_pool(size_t(number));
    thread.block = &block;
    thread.index = t, thread.number = number;
    thread.id = {unsigned(t) % size.x, unsigned(t) / size.x % size.y, unsigned(t) / size.x / size.y};
    thread.done = false;
    thread.open_group.clear(), thread.groups.clear(), thread.lent.clear(), thread.fenced_maps.clear();
    thread.registers = std::min(kRegisters / count / 8 * 8, 248);
    thread.fiber.start(thread_main);
    block.threads.push_back(&thread);
    block.cluster->runnable.push_back(&thread);
  }
  block.async.registers_left = kRegisters - count * block.threads[0]->registers;
}

void run_threads(Cluster& cluster) {
  size_t head = 0;
  while (!cluster.ended) {
    if (cluster.runnable.empty()) {
      if (cluster.copies.empty()) break;
      deliver_copy(cluster, schedule.order == Schedule::kInTurn ? 0 : pick(cluster.copies.size()));
      continue;
    }
    thread_now = next_thread(cluster.runnable, head);
    thread_now->fiber.resume();
    thread_now = nullptr;
  }
}

void run_cluster(const Launch& launched, uint32_t launch_number, uint32_t first) {
  const Dim3 grid = launched.grid, size = launched.block;
  const int threads = int(size.x * size.y * size.z);
  const size_t window = (launched.shared_bytes + 1023) / 1024 * 1024;
  Cluster cluster;
  cluster.races = std::make_unique<RaceDetector>(threads * int(launched.cluster), window * launched.cluster);
  std::deque<SharedMemory> memory;
  for (uint32_t rank = 0; rank < launched.cluster; rank++) {
    Block& block = *cluster.blocks.emplace_back(std::make_unique<Block>());
    const uint32_t index = first + rank;
    block.launched = &launched;
    block.launch = launch_number;
    block.index = index;
    block.id = {index % grid.x, index / grid.x % grid.y, index / grid.x / grid.y};
    block.alive = threads;
    block.cluster = &cluster;
    block.rank = int(rank), block.window = uint32_t(window * rank);
    block.races = cluster.races.get();
    block.shared = memory.emplace_back(launched.shared_bytes).data();
    block.meetings.resize(size_t(threads + 31) / 32);
    start_threads(block, threads);
  }
  run_threads(cluster);
  for (const auto& block : cluster.blocks) {
    if (!cluster.ended && block->alive > 0) report_deadlock(*block);
  }
}

}  // namespace

void set_schedule(const Schedule& wanted) { schedule = wanted; }

Block& running_block() { return *thread_now->block; }
Thread& running_thread() { return *thread_now; }
bool in_kernel() { return thread_now != nullptr; }

void run_clusters(const Launch& launched, uint32_t launch_number) {
  random_order.seed(schedule.seed);
  const uint32_t blocks = launched.grid.x * launched.grid.y * launched.grid.z;
  for (uint32_t first = 0; first < blocks; first += launched.cluster) run_cluster(launched, launch_number, first);
}

}  // namespace simt
