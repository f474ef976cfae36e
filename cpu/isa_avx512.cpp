// AVX-512, thirty-two 16-lane registers: 12 x 2 sums, 2 of B, A broadcast from memory.
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

SKRR_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")

namespace skrr::cpu {
namespace {
#define SKRR_LANES 16
#define SKRR_ROWS 12
#include "cpu/vector_kernels.inl"

inline VecI multiply_pairs(VecI x, VecI b) { return (VecI)_mm512_madd_epi16((__m512i)x, (__m512i)b); }
}  // namespace

const Kernels avx512_kernels = make_kernels("avx512");

}  // namespace skrr::cpu

SKRR_TARGET_END
#endif
