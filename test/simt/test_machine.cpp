// The machine itself: what is right passes, each planted bug is named, and its matrix operations follow the manual.
#include "test/simt/machine.h"

#include <cmath>
#include <cstring>

#include "engine/numeric.h"
#include "test/engine/check.h"
#include "test/simt/on_device.h"
#include "test/simt/planted.h"

using namespace simt;

namespace {

std::string kinds_of(planted::Bug bug) {
  OnDevice<float> in(std::vector<float>(256, 2.0f));
  OnDevice<int> out(size_t(64));
  planted::run(bug, in.data, out.data);
  return kinds_found();
}

void right_kernels_pass_and_planted_bugs_are_named() {
  const struct {
    planted::Bug bug;
    const char* kinds;
  } expected[] = {
      {planted::kNone, ""},
      {planted::kMissingBarrier, "uninitialised, race"},
      {planted::kOverwriteTooSoon, "race"},
      {planted::kUninitialised, "uninitialised"},
      {planted::kPastShared, "out of bounds"},
      {planted::kPastAllocation, "out of bounds"},
      {planted::kBlocksRace, "race"},
      {planted::kHalfAWarpAtBarrier, "divergence"},
      {planted::kHalfAWarpShuffles, "deadlock"},
      {planted::kCopyWaited, ""},
      {planted::kCopyNotWaited, "not waited for"},
      {planted::kCopyNotMet, "uninitialised, race"},
      {planted::kCopyMisaligned, "misaligned"},
      {planted::kRegisterArray, "undefined behaviour"},
      {planted::kTooMuchShared, "bad launch"},
  };
  for (const Schedule::Order order : {Schedule::kInTurn, Schedule::kBackwards, Schedule::kRandom}) {
    set_schedule({order, 3});
    for (const auto& [bug, kinds] : expected) {
      const std::string found = kinds_of(bug);
      if (found != kinds) {
        failures++;
        std::printf("planted bug %d: found '%s', expected '%s'\n", bug, found.c_str(), kinds);
      }
    }
  }
  set_schedule({});
}

void a_finding_names_the_line() {
  OnDevice<float> in(std::vector<float>(256, 2.0f));
  OnDevice<int> out(size_t(64));
  planted::run(planted::kMissingBarrier, in.data, out.data);
  const std::vector<Finding> findings = take_findings();
  CHECK(!findings.empty() && findings[0].text.find("planted.cu:") != std::string::npos);
}

// Lane l of matrix m: elements (l / 4, 2 (l % 4)) and the next one. Matrices: rows 0-7 and 8-15 of the left half, then right.
void ldmatrix_hands_out_rows_or_columns() {
  std::vector<skrr::cuda::bf16> tile(256);
  for (int i = 0; i < 256; i++) tile[size_t(i)].bits = uint16_t(i);
  OnDevice<skrr::cuda::bf16> in(tile);
  OnDevice<uint32_t> out(size_t(128));
  for (const bool transposed : {false, true}) {
    planted::load_matrices(in.data, out.data, 32, transposed);
    CHECK(take_findings().empty());
    for (int lane = 0; lane < 32; lane++) {
      for (int m = 0; m < 4; m++) {
        for (int e = 0; e < 2; e++) {
          int row = lane / 4, column = lane % 4 * 2 + e;
          if (transposed) std::swap(row, column);
          const int element = (row + m % 2 * 8) * 16 + column + m / 2 * 8;
          CHECK(int(out.data[lane * 4 + m] >> (16 * e) & 0xffff) == element);
        }
      }
    }
  }
}

// Rows 32 bytes apart: 8 rows fall on 4 of the 8 groups of banks. Rows 48 bytes apart: on all 8.
void bank_conflicts_are_counted() {
  OnDevice<skrr::cuda::bf16> in(std::vector<skrr::cuda::bf16>(256));
  OnDevice<uint32_t> out(size_t(128));
  take_counters();
  planted::load_matrices(in.data, out.data, 32, false);
  CHECK(take_counters().ldmatrix_conflicts == 4);
  planted::load_matrices(in.data, out.data, 48, false);
  const Counters counters = take_counters();
  CHECK(counters.ldmatrix_conflicts == 0 && counters.ldmatrix_phases == 4);
}

void mma_multiplies_as_the_manual_lays_out() {
  const std::vector<float> a = random_floats(256, 1), b = random_floats(128, 2);  // [16, 16], [16, 8]
  const auto pair = [](float low, float high) {
    return uint32_t(skrr::to_bf16(low)) | uint32_t(skrr::to_bf16(high)) << 16;
  };
  std::vector<uint32_t> a_fragments(128), b_fragments(64);
  for (size_t lane = 0; lane < 32; lane++) {
    const size_t row = lane / 4, k = lane % 4 * 2;
    for (size_t r = 0; r < 4; r++) {
      const float* from = &a[(row + r % 2 * 8) * 16 + k + r / 2 * 8];
      a_fragments[lane * 4 + r] = pair(from[0], from[1]);
    }
    for (size_t r = 0; r < 2; r++) {
      b_fragments[lane * 2 + r] = pair(b[(k + r * 8) * 8 + row], b[(k + 1 + r * 8) * 8 + row]);
    }
  }
  OnDevice<uint32_t> a_device(a_fragments), b_device(b_fragments);
  OnDevice<float> d(size_t(128));
  planted::multiply(a_device.data, b_device.data, d.data);
  CHECK(take_findings().empty());
  const auto rounded = [](float x) { return double(skrr::from_bf16(skrr::to_bf16(x))); };
  for (size_t lane = 0; lane < 32; lane++) {
    for (size_t e = 0; e < 4; e++) {
      const size_t row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
      double sum = 1;
      for (size_t k = 0; k < 16; k++) sum += rounded(a[row * 16 + k]) * rounded(b[k * 8 + column]);
      CHECK_AT_MOST(std::fabs(double(d.data[lane * 4 + e]) - sum), 1e-5);
    }
  }
}

void what_is_recorded_runs_when_it_is_replayed() {
  OnDevice<int> value(std::vector<int>(64, 0));
  start_recording();
  planted::increment(value.data);
  const Recording twice = stop_recording();
  CHECK(value.data[5] == 0);
  twice(), twice();
  CHECK(value.data[5] == 2);
  CHECK(take_findings().empty());
}

void device_memory_ends_at_its_limit() {
  limit_device_memory(device_bytes_in_use() + 1000);
  void* small = allocate_device(900);
  CHECK(small != nullptr);
  CHECK(allocate_device(200) == nullptr);
  free_device(small);
  limit_device_memory(~size_t(0));
}

}  // namespace

int main() {
  right_kernels_pass_and_planted_bugs_are_named();
  a_finding_names_the_line();
  ldmatrix_hands_out_rows_or_columns();
  bank_conflicts_are_counted();
  mma_multiplies_as_the_manual_lays_out();
  what_is_recorded_runs_when_it_is_replayed();
  device_memory_ends_at_its_limit();
  return finish("simt machine");
}
