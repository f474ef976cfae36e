// The copy engine (TMA) and the maps it copies by. A box arrives as late as possible, when no thread can run without it; one
// box at a time and in any order, so that threads at a barrier that was promised too few bytes see that the rest is missing.
#include <algorithm>
#include <cstring>

#include "cuda/tensor_map.h"
#include "engine/error.h"
#include "test/simt/async_proxy.h"
#include "test/simt/block.h"
#include "test/simt/device_memory.h"
#include "test/simt/hopper_intrinsics.h"
#include "test/simt/report.h"
#include "test/simt/tensor_map.h"

namespace simt {
namespace {

// The map's own bytes: a kernel's parameter, or global memory, which the host has written and this thread must fence.
TensorMapFields read_map(const skrr::cuda::TensorMap* map, const Place& place) {
  const uintptr_t address = uintptr_t(map);
  const Thread& self = running_thread();
  const uintptr_t parameters = uintptr_t(running_block().launched->parameters.data());
  const bool is_parameter =
      self.fiber.owns(address) || address - parameters < running_block().launched->parameters.size();
  if (!is_parameter) {
    check_global_access(address, sizeof *map, false, place);
    const std::vector<const void*>& fenced = self.fenced_maps;
    if (std::find(fenced.begin(), fenced.end(), map) == fenced.end()) {
      report("no proxy fence", place, "a tensor map in global memory is used without one");
    }
  }
  TensorMapFields fields;
  std::memcpy(&fields, map, sizeof fields);
  if (fields.magic != TensorMapFields::kMagic) report_and_end_block("tensor map", place, "this is none");
  return fields;
}

// The part of a box that lies inside the matrix is read.
void check_source(const TensorMapFields& map, int64_t row, int64_t column, const Place& place) {
  const int64_t last = std::min(row + int64_t(map.box_rows), int64_t(map.rows));
  const int64_t from = std::max<int64_t>(column, 0), to = std::min(column + int64_t(map.box_columns), int64_t(map.columns));
  for (int64_t r = std::max<int64_t>(row, 0); r < last && from < to; r++) {
    const uint64_t source = map.base + uint64_t(r) * map.row_bytes + uint64_t(from) * 2;
    check_global_access(source, uint32_t(to - from) * 2, false, place);
  }
}

}  // namespace

void deliver_copy(Cluster& cluster, size_t index) {
  const TensorCopy copy = cluster.copies[index];
  cluster.copies.erase(cluster.copies.begin() + long(index));
  Block& block = *copy.block;
  if (block.alive == 0) report("cluster", copy.place, "a copy arrives in the shared memory of a block that has ended");
  TensorMapFields map;
  std::memcpy(&map, &copy.map, sizeof map);
  const uint32_t line = uint32_t(map.box_columns) * 2, bytes = uint32_t(map.box_rows) * line;
  for (uint32_t offset = 0; offset < bytes; offset += 2) {
    const int64_t row = copy.row + int64_t(offset / line), column = copy.column + int64_t(offset % line / 2);
    const bool inside = row >= 0 && row < int64_t(map.rows) && column >= 0 && column < int64_t(map.columns);
    uint16_t element = 0;
    const uint64_t source = map.base + uint64_t(row) * map.row_bytes + uint64_t(column) * 2;
    if (inside) std::memcpy(&element, reinterpret_cast<const void*>(source), 2);
    std::memcpy(block.shared + swizzle_128(copy.destination + offset), &element, 2);
  }
  Mbarrier& barrier = block.async.barriers.at(copy.barrier);
  block.races->deliver(copy.issuer->number, block.window + copy.destination, bytes, barrier.number, barrier.phase + 1);
  count_bytes(barrier, bytes, copy.place);
}

}  // namespace simt

namespace skrr::cuda {

using namespace simt;

void fence_async_proxy() { running_block().races->fence_async_proxy(running_thread().number); }

void fence_tensor_map(const TensorMap* map) { running_thread().fenced_maps.push_back(map); }

void tma_load_multicast(uint32_t destination, const TensorMap* tensor_map, int row, int column, uint32_t barrier,
                        uint16_t ranks, const Place& place) {
  const TensorMapFields map = read_map(tensor_map, place);
  const uint32_t line = uint32_t(map.box_columns) * 2, bytes = uint32_t(map.box_rows) * line;
  check_shared_range(destination, bytes, 1024, place);  // where the swizzle begins anew
  check_source(map, row, column, place);
  Cluster& cluster = *running_block().cluster;
  if (ranks == 0 || ranks >> cluster.blocks.size() != 0) report_and_end_block("cluster", place, "a copy to no such block");
  for (const auto& block : cluster.blocks) {
    if (!(ranks >> block->rank & 1)) continue;
    find_mbarrier_in_cluster(*block, barrier, place);
    block->races->use_async(running_thread().number, block->window + barrier, 8, place);
    block->races->issue(running_thread().number, block->window + destination, bytes, place);
    std::memset(block->shared + destination, 0xff, bytes);
    cluster.copies.push_back({&running_thread(), block.get(), destination, barrier, *tensor_map, row, column, place});
  }
}

void tma_load(uint32_t destination, const TensorMap* map, int row, int column, uint32_t barrier, const Place& place) {
  tma_load_multicast(destination, map, row, column, barrier, uint16_t(1 << running_block().rank), place);
}

TensorMap tensor_map(const bf16* matrix, int rows, int columns) {
  if (rows < 1 || columns < 1 || columns % 8 != 0 || uintptr_t(matrix) % 16 != 0) {
    throw Error("ERR_ENGINE", "CUDA: no tensor map of a matrix [" + std::to_string(rows) + ", " +
                                  std::to_string(columns) + "]");
  }
  const TensorMapFields fields{TensorMapFields::kMagic, uintptr_t(matrix), uint64_t(rows), uint64_t(columns),
                               uint64_t(columns) * 2, kBoxRows, kBoxColumns};
  TensorMap map{};
  std::memcpy(&map, &fields, sizeof fields);
  return map;
}

}  // namespace skrr::cuda
