// The thread block that runs: its fibers, shared memory and meetings. Blocks run one after the other; only those of a
// cluster (Hopper) run together and reach each other's shared memory. Every block is in a cluster, usually alone.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "test/simt/async_proxy.h"
#include "test/simt/fiber.h"
#include "test/simt/machine.h"
#include "test/simt/place.h"
#include "test/simt/race_detector.h"

namespace simt::ptx {
struct Program;
}

namespace simt {

// One cp.async: 16 bytes to shared memory, from global memory or zeros.
struct AsyncCopy {
  uint32_t destination;
  const void* source;  // null: zeros
};

// Registers in memory (a fiber's stack) that belong to the tensor cores until a wait.
struct Lent {
  uintptr_t address;
  size_t bytes;
};

struct Block;

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  int index = 0;   // in its block
  int number = 0;  // in its cluster
  Dim3 id;
  bool done = false;
  const char* waits_in = nullptr;  // the operation it is parked in
  Place waits_at;
  std::vector<AsyncCopy> open_group;
  std::deque<std::vector<AsyncCopy>> groups;  // committed, not waited for
  std::vector<Lent> lent;
  std::vector<const void*> fenced_maps;  // tensor maps in global memory
  int registers = 0;                     // it may use

  int lane() const { return index % 32; }
  int warp() const { return index / 32; }
};

// An operation some lanes of a warp execute together. The last to arrive does it for all.
struct Meeting {
  const char* operation;
  Place place;
  uint32_t mask;
  int arrived = 0;
  void* arguments[32] = {};  // by lane
};

struct Launch {
  Dim3 grid, block;
  unsigned cluster;  // blocks, along x
  size_t shared_bytes;
  std::vector<std::byte> arguments;
  void (*call)(const void* arguments);
  const ptx::Program* program = nullptr;  // run in place of call()
  std::vector<unsigned char> parameters;
};

struct Cluster {
  bool ended = false;
  std::vector<std::unique_ptr<Block>> blocks;
  std::unique_ptr<RaceDetector> races;
  std::vector<Thread*> runnable, at_barrier;
  std::deque<TensorCopy> copies;  // the copy engine has been asked for
};

struct Block {
  const Launch* launched = nullptr;
  uint32_t launch = 0;  // number of the launch
  uint32_t index = 0;
  Dim3 id;
  int alive = 0;
  Cluster* cluster = nullptr;
  int rank = 0;         // in it
  uint32_t window = 0;  // where its shared memory begins, as the race detector counts
  unsigned char* shared = nullptr;
  RaceDetector* races = nullptr;  // the cluster's
  std::vector<Thread*> threads;
  std::vector<std::vector<Meeting>> meetings;  // by warp
  std::vector<Thread*> at_barrier;
  Place barrier_place;
  AsyncProxy async;
};

constexpr size_t kSharedGuard = 4096;  // bytes around shared memory

Block& running_block();
Thread& running_thread();
bool in_kernel();

// Parks the running thread until another calls wake().
void park(const char* operation, const Place& place);
void wake(Thread& thread);

void sync_threads(const Place& place);
void sync_cluster(const Place& place);
void release_barriers_if_complete();

// All blocks of a launch (cluster.cpp).
void run_clusters(const Launch& launched, uint32_t launch_number);

// The running lane takes part in `operation` with the lanes of `mask`; `execute` is called once, by the last of them.
void meet(const char* operation, uint32_t mask, const Place& place, void* argument,
          void (*execute)(Meeting&));

// One access of the running thread to memory of any kind: bounds, alignment, races.
void check_access(uintptr_t address, uint32_t bytes, uint32_t alignment, bool write, const Place& place);
// The same for an offset into shared memory.
void check_shared_range(uint32_t offset, uint32_t bytes, uint32_t alignment, const Place& place);

}  // namespace simt
