// wgmma: products of warpgroups, with the layouts of the PTX manual ("Asynchronous warpgroup level matrix instructions").
// They are carried out at the wait. From the issue on D belongs to the tensor cores: it is NaN for its thread.
#include <algorithm>
#include <cstring>

#include "engine/numeric.h"
#include "test/simt/async_proxy.h"
#include "test/simt/block.h"
#include "test/simt/counters.h"
#include "test/simt/hopper_intrinsics.h"
#include "test/simt/report.h"
#include "test/simt/tensor_map.h"

namespace simt {
namespace {

constexpr int kRows = 64, kDepth = 16;

Warpgroup& running_warpgroup() { return running_block().async.warpgroups[running_thread().index / kWarpgroup]; }
int first_thread() { return running_thread().index / kWarpgroup * kWarpgroup; }

// All threads of the warpgroup execute `operation` together; the last to arrive does it for all.
void meet_warpgroup(const char* operation, const Place& place, void* argument, void (*execute)(Warpgroup&)) {
  Warpgroup& group = running_warpgroup();
  const int first = first_thread(), self = running_thread().index - first;
  if (first + kWarpgroup > int(running_block().threads.size())) {
    report_and_end_block("divergence", place, std::string(operation) + " in a warpgroup of less than four warps");
  }
  if (group.arrived == 0) {
    group.operation = operation, group.place = place;
  } else if (group.place != place) {
    report_and_end_block("divergence", place, std::string(operation) + " while other warps of the warpgroup are in " +
                                                  group.operation + " at " + group.place.text());
  }
  group.arguments[size_t(self)] = argument;
  if (++group.arrived < kWarpgroup) return park(operation, place);
  group.arrived = 0;
  execute(group);
  for (int t = 0; t < kWarpgroup; t++) {
    if (t != self) wake(*running_block().threads[size_t(first + t)]);
  }
}

// --- operands ---

// Where 16 bytes of an operand with rows of 16 bf16 lie: row `row`, columns 8 half to 8 half + 7. By its descriptor:
// 128-byte swizzle, groups of 8 rows `stride` bytes apart.
uint32_t chunk_of(uint64_t descriptor, int row, int half) {
  const uint32_t start = uint32_t(descriptor & 0x3fff) << 4, stride = uint32_t(descriptor >> 32 & 0x3fff) << 4;
  return swizzle_128(start + uint32_t(row / 8) * stride + uint32_t(row % 8) * 128 + uint32_t(half) * 16);
}

void use_operand(uint64_t descriptor, int rows, const Warpgroup& group, const Place& place) {
  constexpr uint64_t kSwizzle128 = 1, kOtherFields = uint64_t(7) << 49;  // a base offset: tiles that are not aligned
  if (descriptor >> 62 != kSwizzle128 || (descriptor & kOtherFields) != 0) {
    report_and_end_block("wgmma", place, "the machine knows descriptors with 128-byte swizzle only");
  }
  for (int row = 0; row < rows; row++) {
    for (int half = 0; half < 2; half++) {
      const uint32_t chunk = chunk_of(descriptor, row, half);
      check_shared_range(chunk, 16, 16, place);
      const Block& block = running_block();
      block.races->use_in_products(running_thread().number / kWarpgroup, group.committed + 1, block.window + chunk, place);
    }
  }
}

void load_operand(uint64_t descriptor, int rows, float* values) {  // [rows, 16]
  for (int row = 0; row < rows; row++) {
    for (int half = 0; half < 2; half++) {
      uint16_t bits[8];
      std::memcpy(bits, running_block().shared + chunk_of(descriptor, row, half), sizeof bits);
      for (int e = 0; e < 8; e++) values[row * kDepth + half * 8 + e] = skrr::from_bf16(bits[e]);
    }
  }
}

// --- sums: between the registers of 128 threads and a matrix [64, columns] ---

template <class Move>
void for_sums(const Registers& d, int columns, Move move) {
  for (int t = 0; t < kWarpgroup; t++) {
    for (int i = 0; i < columns / 2; i++) {
      const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + t % 4 * 2 + i % 2;
      move(d[size_t(t)][i], row * columns + column);
    }
  }
}

Sums* find_sums(Warpgroup& group, const Registers& d) {
  const auto found = std::find_if(group.sums.begin(), group.sums.end(), [&](const Sums& s) { return s.d[0] == d[0]; });
  return found == group.sums.end() ? nullptr : &*found;
}

void take_from_threads(Warpgroup& group, const Product& product) {
  if (!group.fenced) {
    report("no wgmma fence", product.place, "registers that threads may have touched are used without a fence");
  }
  Sums sums{product.d, product.columns, 0, std::vector<float>(size_t(kRows * product.columns))};
  for_sums(sums.d, sums.columns, [&](float& in_register, int i) { sums.values[size_t(i)] = in_register; });
  const size_t bytes = size_t(product.columns / 2) * sizeof(float);
  for (int t = 0; t < kWarpgroup; t++) {
    Thread& thread = *running_block().threads[size_t(first_thread() + t)];
    thread.lent.push_back({uintptr_t(product.d[size_t(t)]), bytes});
    std::memset(product.d[size_t(t)], 0xff, bytes);
  }
  group.sums.push_back(std::move(sums));
}

void give_back(Warpgroup& group, Sums& sums) {
  for_sums(sums.d, sums.columns, [&](float& in_register, int i) { in_register = sums.values[size_t(i)]; });
  for (int t = 0; t < kWarpgroup; t++) {
    std::vector<Lent>& lent = running_block().threads[size_t(first_thread() + t)]->lent;
    const auto is_it = [&](const Lent& l) { return l.address == uintptr_t(sums.d[size_t(t)]); };
    lent.erase(std::remove_if(lent.begin(), lent.end(), is_it), lent.end());
  }
  group.sums.erase(group.sums.begin() + (&sums - group.sums.data()));
  group.fenced = false;
}

// D += A B^T: products exact, sums in double, rounded once for 16 products, as mma.sync has it here.
void multiply(const Product& product, Sums& sums) {
  counters.wgmma++;
  const size_t n = size_t(product.columns);
  static float a[kRows * kDepth], b[256 * kDepth];
  static double b_columns[kDepth][256], row[256];
  load_operand(product.a, kRows, a);
  load_operand(product.b, product.columns, b);
  for (size_t k = 0; k < kDepth; k++) {
    for (size_t j = 0; j < n; j++) b_columns[k][j] = double(b[j * kDepth + k]);
  }
  for (size_t i = 0; i < kRows; i++) {
    float* out = &sums.values[i * n];
    for (size_t j = 0; j < n; j++) row[j] = double(out[j]);
    for (size_t k = 0; k < kDepth; k++) {
      const double x = double(a[i * kDepth + k]);
      for (size_t j = 0; j < n; j++) row[j] += x * b_columns[k][j];
    }
    for (size_t j = 0; j < n; j++) out[j] = float(row[j]);
  }
}

struct Lane {
  float* d;
  int columns;
  uint64_t a, b;
};

void issue(Warpgroup& group) {
  const auto lane = [&](int t) -> const Lane& { return *static_cast<const Lane*>(group.arguments[size_t(t)]); };
  Product product{{}, lane(0).columns, lane(0).a, lane(0).b, group.place};
  for (int t = 0; t < kWarpgroup; t++) {
    if (lane(t).a != product.a || lane(t).b != product.b) {
      report_and_end_block("wgmma", group.place, "descriptors differ between the threads of the warpgroup");
    }
    product.d[size_t(t)] = lane(t).d;
  }
  if (!find_sums(group, product.d)) take_from_threads(group, product);
  find_sums(group, product.d)->products++;
  use_operand(product.a, kRows, group, group.place);
  use_operand(product.b, product.columns, group, group.place);
  group.open_group.push_back(product);
}

}  // namespace
}  // namespace simt

namespace skrr::cuda {

using namespace simt;

void fence_products(const Place& place) {
  meet_warpgroup("wgmma.fence", place, nullptr, [](Warpgroup& group) { group.fenced = true; });
}

void wgmma(float* d, int columns, uint64_t a, uint64_t b, const Place& place) {
  Lane self{d, columns, a, b};
  meet_warpgroup("wgmma.mma_async", place, &self, issue);
}

void wgmma_commit(const Place& place) {
  meet_warpgroup("wgmma.commit_group", place, nullptr, [](Warpgroup& group) {
    group.groups.push_back(std::move(group.open_group));
    group.open_group.clear();
    group.committed++;
  });
}

void wait_for_products(int still_in_flight, const Place& place) {
  meet_warpgroup("wgmma.wait_group", place, &still_in_flight, [](Warpgroup& group) {
    const int wanted = *static_cast<const int*>(group.arguments[0]);
    for (; int(group.groups.size()) > wanted; group.groups.pop_front()) {
      for (const Product& product : group.groups.front()) {
        Sums& sums = *find_sums(group, product.d);
        multiply(product, sums);
        if (--sums.products == 0) give_back(group, sums);
      }
    }
  });
  const Warpgroup& group = running_warpgroup();
  running_block().races->know_products(running_thread().number, group.committed - uint32_t(group.groups.size()));
}

}  // namespace skrr::cuda
