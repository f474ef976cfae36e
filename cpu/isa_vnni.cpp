// AVX-512 VNNI: one instruction multiplies 4 unsigned by 4 signed bytes and adds the four products to an int32 lane.
//
//   A  [k quad][row][4]   int8 + 128, to be unsigned; a row's 4 bytes are broadcast to all lanes
//   B  packed_layout.h    a line of 4 of K x 16 columns is a register
//
// 12 x 2 sums and 128 * (sum of b) twice, which takes the 128s back: sum a b = sum (a + 128) b - 128 sum b.
// All other formats are AVX-512's.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/packed_layout.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

namespace skrr::cpu {
namespace {

using packed::kColumns, packed::kDepth;
constexpr int kRows = 12, kLanes = 16, kQuad = 4;
constexpr int kSlice = 768;  // 24 KB of a panel

inline int8_t to_int8(float x) { return int8_t(std::lrint(std::clamp(x, -127.0f, 127.0f))); }

void pack_a(const float* x, int valid, int k, int64_t stride, void* packed) {
  uint8_t* out = static_cast<uint8_t*>(packed);
  const int padded = (k + kDepth - 1) / kDepth * kDepth;
  for (int k0 = 0; k0 < padded; k0 += kQuad) {
    for (int r = 0; r < kRows; r++) {
      for (int i = k0; i < k0 + kQuad; i++) *out++ = uint8_t(128 + (r < valid && i < k ? to_int8(x[r * stride + i]) : 0));
    }
  }
}

inline void multiply_tile(const char* a, const char* b, int blocks, bool accumulate, float* c) {
  __m512i sum[kRows][2], surplus[2] = {};
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    for (int v = 0; v < 2; v++) {
      sum[r][v] = accumulate ? _mm512_loadu_si512(c + r * kColumns + v * kLanes) : _mm512_setzero_si512();
    }
  }
  const __m512i all_128 = _mm512_set1_epi8(char(128));
  for (; blocks > 0; blocks--, b += packed::kInt8Block) {
    for (const char* line = b; line < b + packed::kTileBytes; line += packed::kLine, a += kRows * kQuad) {
      const __m512i b0 = _mm512_loadu_si512(line), b1 = _mm512_loadu_si512(line + packed::kTileBytes);
      surplus[0] = _mm512_dpbusd_epi32(surplus[0], all_128, b0);
      surplus[1] = _mm512_dpbusd_epi32(surplus[1], all_128, b1);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        int32_t four;
        std::memcpy(&four, a + r * kQuad, kQuad);
        const __m512i x = _mm512_set1_epi32(four);
        sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], x, b0);
        sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], x, b1);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    for (int v = 0; v < 2; v++) {
      _mm512_storeu_si512(c + r * kColumns + v * kLanes, _mm512_sub_epi32(sum[r][v], surplus[v]));
    }
  }
}

// The hardware's own prefetching keeps up with this kernel.
void multiply(const void* packed_a, const void* packed_b, const void*, int64_t, int rows, int k, bool accumulate,
              float* c) {
  const char* a = static_cast<const char*>(packed_a);
  for (int r = 0; r < rows; r += kRows, a += k * kRows, c += kRows * kColumns) {
    multiply_tile(a, static_cast<const char*>(packed_b), k / kDepth, accumulate, c);
  }
}

const TileKernel kInt8{kRows,  kColumns,                    kDepth,   kSlice, 1, packed::kInt8Block,
                       pack_a, avx512_kernels.int8.pack_b, multiply, true,   true};

}  // namespace

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const Kernels& vnni_kernels() {
  static const Kernels table = [] {
    Kernels copy = avx512_kernels;
    copy.isa = "avx512vnni";
    copy.int8 = kInt8;
    copy.int4 = expanding(kInt8, avx512_kernels.int4);
    return copy;
  }();
  return table;
}

}  // namespace skrr::cpu
#endif
