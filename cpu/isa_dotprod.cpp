// arm64's dot product (sdot, from Armv8.2 on): int8 and int4 by 8 x 2 sums of 4 lanes. All other formats are the portable ones.
#if defined(__aarch64__)
#include <arm_neon.h>

#include <algorithm>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"
#include "engine/numeric.h"
#include "engine/packed_layout.h"

#if defined(__linux__)
#include <sys/auxv.h>
#endif

#ifdef __clang__
SKRR_TARGET("dotprod")
#else
SKRR_TARGET("arch=armv8.2-a+dotprod")
#endif

namespace skrr::cpu {
namespace {
#define SKRR_LANES 4
#define SKRR_ROWS 8
#include "cpu/dot_kernels.inl"

struct Int8 {
  static constexpr int kDepth = packed::kDepth, kParts = 1;
  static constexpr int kIntegerMax = 127, kOffset = 0;

  static VecI part(VecI b, int) { return b; }
  static VecI dot(VecI sum, VecI x, VecI b) { return (VecI)vdotq_s32((int32x4_t)sum, (int8x16_t)x, (int8x16_t)b); }

  static void round(const float* x, void* out) { round_bytes<kDepth>(x, out); }
};
}  // namespace

SKRR_TARGET_END

const Kernels& dotprod_kernels() {
  static const Kernels table = with_int8(portable_kernels, "dotprod", tile_kernel<Int8>(portable_kernels.int8.pack_b));
  return table;
}

bool dotprod_runs_here() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;  // every arm64 Mac
#endif
}

}  // namespace skrr::cpu
#endif
