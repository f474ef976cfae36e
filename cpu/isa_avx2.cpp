// AVX2 + FMA, sixteen 8-lane registers: 6 x 2 sums, 2 of B, 1 of A.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"
#include "engine/numeric.h"
#include "engine/packed_layout.h"

SKRR_TARGET("avx2,fma")

namespace skrr::cpu {
namespace {
#define SKRR_LANES 8
#define SKRR_ROWS 6
#include "cpu/vector_kernels.inl"

inline VecI multiply_pairs(VecI x, VecI b) { return (VecI)_mm256_madd_epi16((__m256i)x, (__m256i)b); }
}  // namespace

const Kernels avx2_kernels = make_kernels("avx2");

}  // namespace skrr::cpu

SKRR_TARGET_END
#endif
