// AMX: eight tile registers of 16 rows x 64 bytes. bf16 products accumulate in float32, int8 products in int32; float32
// work is AVX-512's.
//
// One block is 32 x 32 of C and 64 bytes of K, 2 x 2 tiles:
//
//              B   k0k1 of 16 columns | 16 columns           A block: tile of rows 0..15, tile of rows 16..31, each
//                  k2k3 ...           |                                 [row][64 bytes of K]
//                  (16 rows)   tmm6   |      tmm7            B block: tile of columns 0..15, tile of columns 16..31, each
//   A  rows  0..15   tmm4   C: tmm0   |      tmm1                      [k pair][column][2]: what meets 4 bytes of a
//      rows 16..31   tmm5      tmm2   |      tmm3                      row of A stands in 4 bytes
//
// Four loads feed four products of 16 cycles each. A slice of B (8 blocks, 16 KB) lies in L1, A comes from L2, and the
// next slice of B travels from memory to L2 meanwhile: its cache lines are prefetched a few per block. int8 has
// twice as much of K in the same bytes: packed_layout.h.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/target.h"

SKRR_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16,amx-int8")

namespace skrr::cpu {
namespace {

constexpr int kTile = 16;                 // rows of a tile, and its columns of 4 bytes
constexpr int kTileBytes = 1024;
constexpr int kBlockBytes = 2 * kTileBytes;
constexpr int kLine = 64;
constexpr int kColumns = 2 * kTile;       // of C, in floats
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

void leave() { _tile_release(); }  // a thread with live tiles is slower to switch and keeps its core awake

// 16 floats from x, those past `valid` zero
inline __m512 load(const float* x, int valid) {
  return _mm512_maskz_loadu_ps(valid >= 16 ? 0xffff : __mmask16((1u << std::max(valid, 0)) - 1), x);
}

// Makes 64 bytes of K from floats. Only this and the instruction that multiplies differ between the formats.
struct Bf16 {
  static constexpr int kDepth = 32, kIntegerMax = 0;
  static __m512i row(const float* x, int valid) {
    return (__m512i)_mm512_cvtne2ps_pbh(load(x + 16, valid - 16), load(x, valid));
  }
};
struct Int8 {
  static constexpr int kDepth = 64, kIntegerMax = 127;
  static __m512i row(const float* x, int valid) {
    alignas(64) int8_t bytes[kDepth];
    for (int i = 0; i < kDepth; i += 16) {
      // Rounds to nearest. (Masked only because g++ 12 warns about its own unmasked ones.)
      const __m512i integers = _mm512_maskz_cvtps_epi32(0xffff, load(x + i, valid - i));
      _mm_store_si128(reinterpret_cast<__m128i*>(bytes + i), _mm512_maskz_cvtsepi32_epi8(0xffff, integers));
    }
    return _mm512_load_si512(bytes);
  }
};

template <class Format>
void pack_a(const float* x, int valid, int k, int64_t stride, void* packed) {
  char* out = static_cast<char*>(packed);
  for (int k0 = 0; k0 < k; k0 += Format::kDepth, out += kBlockBytes) {
    for (int r = 0; r < 2 * kTile; r++) {
      const __m512i row = r < valid ? Format::row(x + r * stride + k0, k - k0) : _mm512_setzero_si512();
      _mm512_storeu_si512(out + r * kLine, row);
    }
  }
}

// c += a b on tile registers, whose numbers must be literals
#define SKRR_DOT(c, a, b)                                    \
  do {                                                       \
    if constexpr (Format::kDepth == 64) _tile_dpbssd(c, a, b); \
    else _tile_dpbf16ps(c, a, b);                            \
  } while (0)

// One row tile of C, of 32 rows or (half) of 16.
template <class Format, bool half>
inline void multiply_tile(const char* a, const char* b, int blocks, bool accumulate, float* c, Ahead& ahead) {
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
    SKRR_DOT(0, 4, 6);
    _tile_loadd(7, b + kTileBytes, kLine);
    SKRR_DOT(1, 4, 7);
    if (!half) {
      _tile_loadd(5, a + kTileBytes, kLine);
      SKRR_DOT(2, 5, 6);
      SKRR_DOT(3, 5, 7);
    }
    ahead.fetch();
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + kTile, stride);
  if (!half) _tile_stored(2, c_low, stride);
  if (!half) _tile_stored(3, c_low + kTile, stride);
}

// Six accumulators: a product of 16 cycles is done after 52.
template <class Format>
double multiply_registers(int64_t rounds) {
  constexpr int kAccumulators = 6;
  enter();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < rounds; i++) {
    SKRR_DOT(0, 6, 7);
    SKRR_DOT(1, 6, 7);
    SKRR_DOT(2, 6, 7);
    SKRR_DOT(3, 6, 7);
    SKRR_DOT(4, 6, 7);
    SKRR_DOT(5, 6, 7);
  }
  leave();
  return 2.0 * double(rounds) * kAccumulators * kTile * kTile * Format::kDepth;
}

#undef SKRR_DOT

template <class Format>
void multiply(const void* packed_a, const void* packed_b, const void* next, int64_t next_bytes, int rows, int k,
              bool accumulate, float* c) {
  const char* a = static_cast<const char*>(packed_a);
  const char* b = static_cast<const char*>(packed_b);
  const int blocks = k / Format::kDepth;
  const int tiles = (rows + 2 * kTile - 1) / (2 * kTile);
  Ahead ahead(next, next_bytes, blocks * tiles);
  for (int t = 0; t < tiles; t++, a += blocks * kBlockBytes, c += 2 * kTile * kColumns) {
    if (rows - t * 2 * kTile > kTile) multiply_tile<Format, false>(a, b, blocks, accumulate, c, ahead);
    else multiply_tile<Format, true>(a, b, blocks, accumulate, c, ahead);
  }
}

template <class Format>
TileKernel tile_kernel(decltype(TileKernel::pack_b) pack_b) {
  return {2 * kTile, kColumns, Format::kDepth, kSliceBlocks * Format::kDepth, kLine / Format::kDepth, kBlockBytes,
          pack_a<Format>, pack_b, multiply<Format>, multiply_registers<Format>, Format::kIntegerMax, 0, nullptr, enter, leave};
}

}  // namespace

SKRR_TARGET_END

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels copy = avx512bf16_kernels();
    copy.bf16 = tile_kernel<Bf16>(copy.bf16.pack_b);
    return with_int8(copy, "amx", tile_kernel<Int8>(copy.int8.pack_b));
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
