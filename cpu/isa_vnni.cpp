// AVX-512 VNNI: int8 and int4 by 12 x 2 sums of 16 lanes. All other formats are AVX-512's.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"
#include "engine/numeric.h"
#include "engine/packed_layout.h"

SKRR_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

namespace skrr::cpu {
namespace {
#define SKRR_LANES 16
#define SKRR_ROWS 12
#include "cpu/dot_kernels.inl"

inline VecI multiply_add(VecI sum, VecI x, VecI b) {
  return (VecI)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)b);
}
#include "cpu/vnni_format.inl"
}  // namespace

SKRR_TARGET_END

const Kernels& vnni_kernels() {
  static const Kernels table = with_int8(avx512_kernels, "avx512vnni", tile_kernel<Int8>(avx512_kernels.int8.pack_b));
  return table;
}

}  // namespace skrr::cpu
#endif
