// The machine's Hopper part: a right kernel passes and multiplies as the manual lays out, each planted bug is named.
#include <algorithm>
#include <cmath>

#include "cuda/tensor_map.h"
#include "engine/numeric.h"
#include "test/engine/check.h"
#include "test/simt/machine.h"
#include "test/simt/on_device.h"
#include "test/simt/planted_hopper.h"

using namespace simt;
using skrr::cuda::bf16;
using skrr::cuda::TensorMap;

namespace {

// X [40, 104] and W [100, 104]: boxes reach past their rows and, in the second step, past their columns.
constexpr int kXRows = 40, kWRows = 100, kColumns = 104;

std::vector<bf16> random_matrix(int rows, unsigned seed) {
  std::vector<bf16> values;
  for (const float value : random_floats(size_t(rows * kColumns), seed)) values.push_back({skrr::to_bf16(value)});
  return values;
}

struct Matrices {
  std::vector<bf16> x = random_matrix(kXRows, 1), w = random_matrix(kWRows, 2);
  OnDevice<bf16> x_device{x}, w_device{w};
  OnDevice<TensorMap> x_map{{skrr::cuda::tensor_map(x_device.data, kXRows, kColumns)}};
  OnDevice<TensorMap> w_map{{skrr::cuda::tensor_map(w_device.data, kWRows, kColumns)}};
  OnDevice<float> out{size_t(64 * 128)}, shared{size_t(2 * 128 * 64)};

  std::string kinds_of(planted::HopperBug bug) {
    if (bug < planted::HopperBug::kClusterNotMet) {
      planted::run(bug, x_map.data, w_map.data, out.data);
    } else {
      planted::share(bug, w_map.data, shared.data);
    }
    return kinds_found();
  }
};

void products_follow_the_manual() {
  Matrices m;
  CHECK(m.kinds_of(planted::HopperBug::kNone).empty());
  const auto real = [](bf16 value) { return double(skrr::from_bf16(value.bits)); };
  for (int row = 0; row < 64; row++) {
    for (int column = 0; column < 128; column++) {
      double sum = 0;
      for (int k = 0; row < kXRows && column < kWRows && k < kColumns; k++) {
        sum += real(m.x[size_t(row * kColumns + k)]) * real(m.w[size_t(column * kColumns + k)]);
      }
      CHECK_AT_MOST(std::fabs(double(m.out.data[row * 128 + column]) - sum), 1e-4);
    }
  }
}

void blocks_of_a_cluster_share_their_copies() {
  Matrices m;
  planted::share(planted::HopperBug::kNone, m.w_map.data, m.shared.data);
  CHECK(kinds_found().empty());
  for (int i = 0; i < 2 * 128 * 64; i++) {
    const int row = i / 64 % 128, column = i % 64;
    CHECK(m.shared.data[i] == (row < kWRows ? skrr::from_bf16(m.w[size_t(row * kColumns + column)].bits) : 0));
  }
}

void planted_bugs_are_named() {
  using Bug = planted::HopperBug;
  const struct {
    Bug bug;
    std::vector<std::string> kinds;  // one of these must be found; the schedule decides which comes first
  } expected[] = {
      {Bug::kBarriersNotFenced, {"no proxy fence"}},
      {Bug::kBarriersNotMet, {"mbarrier"}},
      {Bug::kCopyNotWaited, {"race", "uninitialised"}},
      {Bug::kWrongParity, {"race", "uninitialised"}},
      {Bug::kTooFewBytes, {"race"}},
      {Bug::kTooManyBytes, {"deadlock"}},
      {Bug::kStageNotFree, {"race", "mbarrier"}},
      {Bug::kReleasedTooSoon, {"race"}},
      {Bug::kNeverReleased, {"deadlock"}},
      {Bug::kMapNotFenced, {"no proxy fence"}},
      {Bug::kBoxMisaligned, {"misaligned"}},
      {Bug::kStoredWithoutFence, {"no proxy fence"}},
      {Bug::kNoFenceBeforeProducts, {"no wgmma fence"}},
      {Bug::kSumsReadTooSoon, {"not waited for"}},
      {Bug::kSumsNeverWaitedFor, {"not waited for"}},
      {Bug::kHalfAWarpgroup, {"deadlock"}},
      {Bug::kDescriptorsDiffer, {"wgmma"}},
      {Bug::kUnknownSwizzle, {"wgmma"}},
      {Bug::kTooManyRegisters, {"deadlock"}},
      {Bug::kClusterNotMet, {"mbarrier"}},
      {Bug::kBarrierNotFencedForCluster, {"mbarrier"}},
      {Bug::kHalfNotWaited, {"race"}},
      {Bug::kBlockEndsTooSoon, {"cluster"}},
      {Bug::kCopyToNoBlock, {"cluster"}},
  };
  for (const Schedule::Order order : {Schedule::kInTurn, Schedule::kBackwards, Schedule::kRandom}) {
    set_schedule({order, 3});
    CHECK(Matrices().kinds_of(Bug::kNone).empty());
    for (const auto& [bug, kinds] : expected) {
      const std::string found = Matrices().kinds_of(bug);
      const auto named = [&](const std::string& kind) { return found.find(kind) != std::string::npos; };
      if (std::any_of(kinds.begin(), kinds.end(), named)) continue;
      failures++;
      std::printf("planted bug %d: found '%s', expected '%s'\n", int(bug), found.c_str(), kinds[0].c_str());
    }
  }
  set_schedule({});
}

}  // namespace

int main() {
  products_follow_the_manual();
  blocks_of_a_cluster_share_their_copies();
  planted_bugs_are_named();
  return finish("simt hopper");
}
