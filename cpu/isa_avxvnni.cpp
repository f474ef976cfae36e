// AVX-VNNI, the instruction of AVX-512 VNNI on 8 lanes, for processors without AVX-512 (Intel Core from the twelfth generation
// on): int8 and int4 by 6 x 2 sums. All other formats are AVX2's.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"
#include "engine/numeric.h"
#include "engine/packed_layout.h"

SKRR_TARGET("avx2,fma,avxvnni")

namespace skrr::cpu {
namespace {
#define SKRR_LANES 8
#define SKRR_ROWS 6
#include "cpu/dot_kernels.inl"

inline VecI multiply_add(VecI sum, VecI x, VecI b) {
  return (VecI)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)x, (__m256i)b);
}
#include "cpu/vnni_format.inl"
}  // namespace

SKRR_TARGET_END

const Kernels& avxvnni_kernels() {
  static const Kernels table = with_int8(avx2_kernels, "avxvnni", tile_kernel<Int8>(avx2_kernels.int8.pack_b));
  return table;
}

bool avxvnni_runs_here() {  // clang 14's __builtin_cpu_supports does not know the name
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4));
}

}  // namespace skrr::cpu
#endif
