// Sub-blocks of any attributes on the CPU, in every precision (sub_block_suite.h); and which keys an attention leaves out.
#include "cpu/distance_line.h"
#include "test/engine/on_cpu.h"
#include "test/engine/sub_block_suite.h"

using namespace skrr;

namespace {

// Sanitizers take ten times as long and find what they look for in fewer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kCases = 25;
#else
constexpr int kCases = 150;
#endif

// Of 512 causal rows in tiles of 64, 36 of 64 tiles of keys are computed; a window of 100 leaves 8 + 7 + 6.
void tiles_out_of_reach_are_left_out() {
  const auto tiles = [](const Distance& distance) {
    int sum = 0;
    for (int query = 0; query < 512; query += 64) {
      const cpu::KeyRange keys(distance, query, 64, 512, 64);
      sum += (keys.count() + 63) / 64;
    }
    return sum;
  };
  CHECK(tiles({}) == 64);
  CHECK(tiles({0, 0, 0}) == 36);
  CHECK(tiles({0, 0, 0, 100}) == 8 + 7 + 6);
  CHECK(tiles({0, 0, 64, 64}) == 8 + 7 + 7);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  tiles_out_of_reach_are_left_out();
  sub_block_suite::Limits limits;
  limits.attributes = cpu::make_device(1)->facts().attributes;
  limits.max_head_dim = 256;
  for (const Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
    sub_block_suite::run(on_cpu::subject(precision), kCases, limits);
  }
  return finish("sub-blocks");
}
