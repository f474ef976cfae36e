// AMX: eight tile registers of 16 rows x 64 bytes. bf16 products accumulate in float32; float32 work is AVX-512's.
//
// One block is 32 x 32 of C and 64 bytes of K, 2 x 2 tiles:
//
//              B   k0k1 of 16 columns | 16 columns           A block: tile of rows 0..15, tile of rows 16..31, each
//                  k2k3 ...           |                                 [row][64 bytes of K]
//                  (16 rows)   tmm6   |      tmm7            B block: tile of columns 0..15, tile of columns 16..31, each
//   A  rows  0..15   tmm4   C: tmm0   |      tmm1                      [k pair][column][2]: what belongs to 4 bytes of
//      rows 16..31   tmm5      tmm2   |      tmm3                      a row of A stands in 4 bytes
//
// Four loads feed four products of 16 cycles each. A slice of B (8 blocks, 16 KB) lies in L1, A comes from L2, and the
// next slice of B travels from memory to L2 meanwhile: its cache lines are prefetched a few per block.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "cpu/kernels.h"

#ifdef __clang__
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16")
#endif

namespace skrr::cpu {
namespace {

constexpr int kTile = 16;                 // rows of a tile, and its columns of 4 bytes
constexpr int kTileBytes = 1024;
constexpr int kBlockBytes = 2 * kTileBytes;
constexpr int kLine = 64;
constexpr int kBlockLines = kBlockBytes / kLine;
constexpr int kColumns = 2 * kTile;       // of C, in floats
constexpr int kDepth = 32;                // bf16 numbers in 64 bytes
constexpr int kSliceBlocks = 8;

// All eight registers 16 x 64 bytes, on this thread.
void enter() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  for (int t = 0; t < 8; t++) config.row_bytes[t] = kLine, config.rows[t] = kTile;
  asm volatile("" ::"r"(&config) : "memory");  // g++ 12 does not know that ldtilecfg reads memory
  _tile_loadconfig(&config);
}

void leave() { _tile_release(); }  // a thread with live tiles is dearer to switch and keeps its core awake

// 32 floats from x, those past `valid` zero, as bf16
inline __m512i load_bf16(const float* x, int valid) {
  const __mmask16 low = valid >= 16 ? 0xffff : __mmask16((1u << std::max(valid, 0)) - 1);
  const __mmask16 high = valid >= 32 ? 0xffff : __mmask16((1u << std::max(valid - 16, 0)) - 1);
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, x + 16), _mm512_maskz_loadu_ps(low, x));
}

void pack_a(const float* x, int valid, int k, int64_t stride, void* packed) {
  char* out = static_cast<char*>(packed);
  for (int k0 = 0; k0 < k; k0 += kDepth, out += kBlockBytes) {
    for (int r = 0; r < 2 * kTile; r++) {
      const __m512i row = r < valid ? load_bf16(x + r * stride + k0, k - k0) : _mm512_setzero_si512();
      _mm512_storeu_si512(out + r * kLine, row);
    }
  }
}

// The 4 bytes of k pair p of column n go to row p, column n of the tile: a column is written with a stride of a row.
void pack_b(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed) {
  char* out = static_cast<char*>(packed);
  const __m512i down = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                          _mm512_set1_epi32(kLine));
  for (int k0 = 0; k0 < k; k0 += kDepth, out += kBlockBytes) {
    const int deep = std::min(kDepth, k - k0);
    for (int n = 0; n < kColumns; n++) {
      float column[kDepth] = {};
      for (int i = 0; n < valid && i < deep; i++) column[i] = w[n * n_stride + (k0 + i) * k_stride];
      char* top = out + n / kTile * kTileBytes + n % kTile * 4;
      _mm512_i32scatter_epi32(top, down, load_bf16(column, kDepth), 1);
    }
  }
}

// One row tile of C, of 32 rows or (half) of 16; `lines` cache lines of `next` are prefetched per block.
template <bool half>
inline void multiply_tile(const char* a, const char* b, int blocks, bool accumulate, float* c, const char* next,
                          int lines) {
  constexpr int stride = kColumns * sizeof(float);
  float* c_low = c + kTile * kColumns;
  if (accumulate) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + kTile, stride);
    if (!half) _tile_loadd(2, c_low, stride);
    if (!half) _tile_loadd(3, c_low + kTile, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int i = 0; i < blocks; i++, a += kBlockBytes, b += kBlockBytes) {
    _tile_loadd(6, b, kLine);
    _tile_loadd(4, a, kLine);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTileBytes, kLine);
    _tile_dpbf16ps(1, 4, 7);
    if (!half) {
      _tile_loadd(5, a + kTileBytes, kLine);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    for (int line = 0; line < lines; line++, next += kLine) _mm_prefetch(next, _MM_HINT_T1);
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + kTile, stride);
  if (!half) _tile_stored(2, c_low, stride);
  if (!half) _tile_stored(3, c_low + kTile, stride);
}

void multiply(const void* packed_a, const void* packed_b, const void* next_b, int rows, int k, bool accumulate,
              float* c) {
  const char* a = static_cast<const char*>(packed_a);
  const char* b = static_cast<const char*>(packed_b);
  const char* next = static_cast<const char*>(next_b);
  const int blocks = k / kDepth;
  const int tiles = (rows + 2 * kTile - 1) / (2 * kTile);
  const int share = (kBlockLines + tiles - 1) / tiles;  // of a block of B per row tile
  int left = next ? kBlockLines : 0;
  for (int t = 0; t < tiles; t++, a += blocks * kBlockBytes, c += 2 * kTile * kColumns) {
    const int lines = std::min(share, left);
    if (rows - t * 2 * kTile > kTile) multiply_tile<false>(a, b, blocks, accumulate, c, next, lines);
    else multiply_tile<true>(a, b, blocks, accumulate, c, next, lines);
    next += blocks * lines * kLine;
    left -= lines;
  }
}

constexpr TileKernel kBf16{2 * kTile, kColumns, kDepth, kSliceBlocks * kDepth, 2, 2,
                           pack_a,    pack_b,   multiply, enter, leave};

}  // namespace

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels copy = avx512_kernels;
    copy.isa = "amx";
    copy.bf16 = kBf16;
    return copy;
  }();
  return table;
}

bool amx_runs_here() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16Bit = 1u << 22, kTileBit = 1u << 24, kInt8Bit = 1u << 25;
  constexpr unsigned kNeeded = kBf16Bit | kTileBit | kInt8Bit;
  if ((d & kNeeded) != kNeeded || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  if (!(a & (1u << 5))) return false;  // AVX512_BF16
#ifdef __linux__
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM: the state is 8 KB a thread
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace skrr::cpu
#endif
