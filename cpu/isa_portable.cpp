// Any processor with four-lane vectors: SSE2 with sixteen registers, for 6 x 2 sums, 2 of B, 1 of A; NEON with 32, for 8 x 2 sums,
// because g++ loads all of A first there.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "engine/packed_layout.h"
#include "engine/numeric.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace skrr::cpu {
namespace {
#define SKRR_LANES 4
#ifdef __aarch64__
#define SKRR_ROWS 8
#else
#define SKRR_ROWS 6
#endif
#include "cpu/vector_kernels.inl"

inline VecI multiply_pairs(VecI x, VecI b) {
#if defined(__SSE2__)
  return (VecI)_mm_madd_epi16((__m128i)x, (__m128i)b);
#else
  return (x << 16 >> 16) * (b << 16 >> 16) + (x >> 16) * (b >> 16);
#endif
}
}  // namespace

const Kernels portable_kernels = make_kernels("portable");

}  // namespace skrr::cpu
