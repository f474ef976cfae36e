// What runs beside the threads of a block on Hopper: barriers in shared memory, boxes the copy engine has been asked for,
// and the products of warpgroups.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "cuda/types.h"
#include "test/simt/place.h"
#include "test/simt/race_detector.h"

namespace simt {

struct Block;
struct Cluster;
struct Thread;

constexpr int kWarpgroup = 128;

// --- mbarrier.cpp ---

struct Mbarrier {
  Block* block;
  int number;                       // among the cluster's
  int owner;                        // the thread that initialised it
  bool fenced = false;              // by the owner, for the rest of the cluster
  uint32_t arrivals;                // that end a phase
  uint32_t phase = 0;               // number of the running phase
  int64_t arrivals_left, bytes_left = 0;  // until it ends
  RaceDetector::Clock arriving, over;     // what its arrivals knew; what the arrivals of all earlier phases knew
  std::vector<Thread*> waiting;
};

// The barrier at an offset of a block's shared memory, as `place` uses it; ends the block when there is none.
Mbarrier& find_mbarrier(Block& block, uint32_t offset, const Place& place);
// The same, where the running thread may be of another block.
Mbarrier& find_mbarrier_in_cluster(Block& block, uint32_t offset, const Place& place);
// Bytes of copies have arrived.
void count_bytes(Mbarrier& barrier, uint32_t bytes, const Place& place);

// --- tensor_copy.cpp ---

struct TensorCopy {
  Thread* issuer;
  Block* block;  // in whose shared memory these lie
  uint32_t destination, barrier;
  skrr::cuda::TensorMap map;
  int row, column;
  Place place;
};

// Lets one copy arrive, the `index`-th of those in flight.
void deliver_copy(Cluster& cluster, size_t index);

// --- wgmma.cpp ---

using Registers = std::array<float*, kWarpgroup>;  // of each thread: its part of D

struct Product {
  Registers d;
  int columns;
  uint64_t a, b;  // descriptors
  Place place;
};

// A D that belongs to the tensor cores: products in flight add to it.
struct Sums {
  Registers d;
  int columns, products = 0;
  std::vector<float> values;  // [64, columns]
};

struct Warpgroup {
  std::vector<Product> open_group;
  std::deque<std::vector<Product>> groups;  // committed, not waited for
  uint32_t committed = 0;
  std::vector<Sums> sums;
  bool fenced = false;  // since threads could last touch registers

  // The operation that all threads are about to execute together.
  const char* operation = nullptr;
  Place place;
  int arrived = 0;
  std::array<void*, kWarpgroup> arguments;
};

struct AsyncProxy {
  std::map<uint32_t, Mbarrier> barriers;  // by shared offset
  std::map<int, Warpgroup> warpgroups;
  int registers_left = 0;                 // of the SM, for setmaxnreg
  std::vector<Thread*> waiting_for_registers;
};

}  // namespace simt
