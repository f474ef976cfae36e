// AVX-512 BF16: bf16 by bf16 with float32 sums, by an instruction that multiplies 2 by 2 and adds the products to a float32
// lane. It has twice the rate of float32's on AMD (Zen 4, Zen 5), and half of it on Intel, where AMX is what to use.
// int8 and int4 are VNNI's, all else AVX-512's.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"
#include "engine/numeric.h"

SKRR_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace skrr::cpu {
namespace {

#define SKRR_LANES 16
#define SKRR_ROWS 12
#include "cpu/dot_kernels.inl"

struct Bf16 {
  static constexpr int kDepth = 32, kParts = 1;
  static constexpr int kIntegerMax = 0, kOffset = 0;

  static VecI part(VecI b, int) { return b; }
  static VecI dot(VecI sum, VecI x, VecI b) {
    return (VecI)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(__m512i)x, (__m512bh)(__m512i)b);
  }

  // To nearest even.
  static void round(const float* x, void* out) {
    const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + kLanes), _mm512_loadu_ps(x));
    std::memcpy(out, &rounded, sizeof(rounded));
  }
};

// 4 bytes of K of column n go to line k, column n of the tile.
void pack_b(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed) {
  char* out = static_cast<char*>(packed);
  for (int k0 = 0; k0 < k; k0 += Bf16::kDepth, out += kBlockBytes) {
    const int deep = std::min(Bf16::kDepth, k - k0);
    for (int n = 0; n < kColumns; n++) {
      float column[Bf16::kDepth] = {};
      for (int i = 0; n < valid && i < deep; i++) column[i] = w[n * n_stride + (k0 + i) * k_stride];
      char rounded[kBlockDepth];
      Bf16::round(column, rounded);
      char* top = out + n / kTileColumns * kTileBytes + n % kTileColumns * kBytes;
      for (int i = 0; i < kBlockDepth; i += kBytes) std::memcpy(top + i / kBytes * kLine, rounded + i, kBytes);
    }
  }
}

}  // namespace

SKRR_TARGET_END

const Kernels& avx512bf16_kernels() {
  static const Kernels table = [] {
    Kernels copy = vnni_kernels();
    copy.isa = "avx512bf16";
    copy.bf16 = tile_kernel<Bf16>(pack_b);
    return copy;
  }();
  return table;
}

}  // namespace skrr::cpu
#endif
