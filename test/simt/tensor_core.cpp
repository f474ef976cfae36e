// ldmatrix and mma.sync, with the layouts of the PTX manual ("Matrix fragments for mma.m16n8k16").
#include <algorithm>
#include <utility>

#include "test/simt/block.h"
#include "test/simt/counters.h"
#include "test/simt/intrinsics.h"

namespace simt {
namespace {

struct LdmatrixLane {
  uint32_t address;
  uint32_t* registers;
  bool transposed;
  Place place;
};

// Lane 8 m + r names row r (16 bytes) of matrix m. Lane l receives of each matrix the elements (l / 4, 2 (l % 4)) and
// (l / 4, 2 (l % 4) + 1), or, transposed, those of the transposed matrix.
void load_matrices(Meeting& meeting) {
  const auto lane_of = [&](int lane) -> LdmatrixLane& { return *static_cast<LdmatrixLane*>(meeting.arguments[lane]); };
  Block& block = running_block();
  const int first_thread = running_thread().number / 32 * 32;
  for (int m = 0; m < 4; m++) {
    // One phase reads 8 rows, 128 bytes, in one cycle if they fall on different groups of 4 banks.
    int rows_on_banks[8] = {};
    for (int r = 0; r < 8; r++) rows_on_banks[lane_of(8 * m + r).address / 16 % 8]++;
    counters.ldmatrix_phases++;
    counters.ldmatrix_conflicts += uint64_t(*std::max_element(rows_on_banks, rows_on_banks + 8) - 1);

    for (int lane = 0; lane < 32; lane++) {
      LdmatrixLane& receiver = lane_of(lane);
      uint16_t pair[2];
      for (int e = 0; e < 2; e++) {
        int row = lane / 4, column = lane % 4 * 2 + e;
        if (receiver.transposed) std::swap(row, column);
        const uint32_t address = lane_of(8 * m + row).address + uint32_t(column) * 2;
        block.races->read(first_thread + lane, block.window + address, 2, receiver.place);
        std::memcpy(&pair[e], block.shared + address, 2);
      }
      receiver.registers[m] = uint32_t(pair[0]) | uint32_t(pair[1]) << 16;
    }
  }
}

void ldmatrix(uint32_t (&r)[4], uint32_t row_address, bool transposed, const Place& place) {
  check_shared_range(row_address, 16, 16, place);
  LdmatrixLane self{row_address, r, transposed, place};
  meet("ldmatrix", ~0u, place, &self, load_matrices);
}

struct MmaLane {
  float* d;
  const uint32_t* a;
  uint32_t b[2];
};

// D [16, 8] += A [16, 16] B [16, 8]: products exact, sums in double, rounded once.
void multiply(Meeting& meeting) {
  counters.mma++;
  double a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const MmaLane& l = *static_cast<MmaLane*>(meeting.arguments[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int e = 0; e < 8; e++) {  // register e / 2, half e % 2
      const uint16_t bits = uint16_t(l.a[e / 2] >> (e % 2 * 16));
      a[group + e / 2 % 2 * 8][pair + e % 2 + e / 4 * 8] = double(skrr::from_bf16(bits));
    }
    for (int e = 0; e < 4; e++) {
      const uint16_t bits = uint16_t(l.b[e / 2] >> (e % 2 * 16));
      b[pair + e % 2 + e / 2 * 8][group] = double(skrr::from_bf16(bits));
    }
    for (int e = 0; e < 4; e++) d[group + e / 2 * 8][pair + e % 2] = double(l.d[e]);
  }
  for (int m = 0; m < 16; m++) {
    for (int k = 0; k < 16; k++) {
      for (int n = 0; n < 8; n++) d[m][n] += a[m][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    MmaLane& l = *static_cast<MmaLane*>(meeting.arguments[lane]);
    for (int e = 0; e < 4; e++) l.d[e] = float(d[lane / 4 + e / 2 * 8][lane % 4 * 2 + e % 2]);
  }
}

}  // namespace

Counters counters{};

Counters take_counters() { return std::exchange(counters, Counters{}); }

}  // namespace simt

namespace skrr::cuda {

void ldmatrix_x4(uint32_t (&r)[4], uint32_t row_address, const Place& place) {
  simt::ldmatrix(r, row_address, false, place);
}

void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row_address, const Place& place) {
  simt::ldmatrix(r, row_address, true, place);
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Place& place) {
  simt::MmaLane self{d, a, {b0, b1}};
  simt::meet("mma.sync", ~0u, place, &self, simt::multiply);
}

}  // namespace skrr::cuda
