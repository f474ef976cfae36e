// AMX in software: forced in front of cpu/isa_amx.cpp (-include) it replaces the processor's tile registers by arrays, so that
// the AMX kernel table is tested on every processor with AVX-512 BF16, and sanitizers see what it loads and stores. A tile
// instruction outside of enter() and leave(), which would be an invalid opcode, ends the program.
//
// Intel SDM volume 2, TDPBSSD and TDPBF16PS. Denormals are kept here; the processor flushes them to zero.
#pragma once

#include <cpuid.h>
#include <immintrin.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/numeric.h"

namespace software_tiles {

constexpr int kTiles = 8, kMaxRows = 16, kMaxBytes = 64;

struct Config {  // as LDTILECFG reads it
  uint8_t palette = 0, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

struct Tiles {
  Config config;
  uint8_t bytes[kTiles][kMaxRows][kMaxBytes];
};

inline thread_local Tiles tiles;

inline void expect(bool condition, const char* expected) {
  if (condition) return;
  std::fprintf(stderr, "software_tiles: expected %s\n", expected);
  std::abort();
}

inline void load_config(const void* config) {
  std::memcpy(&tiles.config, config, sizeof(Config));
  expect(tiles.config.palette == 1 && tiles.config.start_row == 0, "palette 1 from row 0");
  for (int t = 0; t < kTiles; t++) {
    expect(tiles.config.rows[t] <= kMaxRows && tiles.config.row_bytes[t] <= kMaxBytes, "tiles of up to 16 rows of 64 bytes");
  }
  std::memset(tiles.bytes, 0, sizeof(tiles.bytes));
}

inline void release() { tiles.config = Config(); }

inline int rows(int tile) {
  expect(tiles.config.palette == 1, "tiles to be configured on this thread");
  return tiles.config.rows[tile];
}

inline void load(int tile, const void* from, int64_t stride) {
  for (int r = 0; r < rows(tile); r++) {
    std::memcpy(tiles.bytes[tile][r], static_cast<const uint8_t*>(from) + r * stride, tiles.config.row_bytes[tile]);
  }
}

inline void store(int tile, void* to, int64_t stride) {
  for (int r = 0; r < rows(tile); r++) {
    std::memcpy(static_cast<uint8_t*>(to) + r * stride, tiles.bytes[tile][r], tiles.config.row_bytes[tile]);
  }
}

inline void zero(int tile) { std::memset(tiles.bytes[tile], 0, size_t(rows(tile)) * kMaxBytes); }

// c [m][n] += sum over k of a [m][k] b [k][n], where an element of a and one of b are 4 bytes: `per_lane` numbers (bf16's bits as
// uint16_t). Each of the lane's numbers has a sum of its own over k, as in TDPBF16PS.
template <class T, class Sum>
void multiply_add(int c, int a, int b) {
  constexpr int per_lane = 4 / sizeof(T);
  const int depth = tiles.config.row_bytes[a] / 4, columns = tiles.config.row_bytes[c] / 4;
  expect(rows(a) == rows(c) && rows(b) == depth && tiles.config.row_bytes[b] == tiles.config.row_bytes[c], "tiles that fit");
  for (int m = 0; m < rows(c); m++) {
    Sum sums[per_lane][kMaxBytes / 4] = {};
    for (int k = 0; k < depth; k++) {
      T x[per_lane], y[kMaxBytes / 4][per_lane];
      std::memcpy(x, &tiles.bytes[a][m][4 * k], sizeof(x));
      std::memcpy(y, tiles.bytes[b][k], sizeof(y));
      for (int i = 0; i < per_lane; i++) {
        for (int n = 0; n < columns; n++) {
          if constexpr (sizeof(T) == 2) sums[i][n] += skrr::from_bf16(x[i]) * skrr::from_bf16(y[n][i]);
          else sums[i][n] += Sum(x[i]) * Sum(y[n][i]);
        }
      }
    }
    Sum out[kMaxBytes / 4];
    std::memcpy(out, tiles.bytes[c][m], sizeof(out));
    for (int n = 0; n < columns; n++) {
      Sum sum = 0;
      for (int i = 0; i < per_lane; i++) sum += sums[i][n];
      out[n] += sum;
    }
    std::memcpy(tiles.bytes[c][m], out, sizeof(out));
  }
}

// The processor itself, with AMX.
inline int cpuid(unsigned leaf, unsigned subleaf, unsigned* a, unsigned* b, unsigned* c, unsigned* d) {
  const int known = __get_cpuid_count(leaf, subleaf, a, b, c, d);
  if (leaf == 7 && subleaf == 0) *d |= 1u << 22 | 1u << 24 | 1u << 25;
  return known;
}

// The system, asked for the right to use tile registers.
inline long granted(long, int, int) { return 0; }

}  // namespace software_tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbf16ps
#define _tile_loadconfig software_tiles::load_config
#define _tile_release software_tiles::release
#define _tile_loadd software_tiles::load
#define _tile_stored software_tiles::store
#define _tile_zero software_tiles::zero
#define _tile_dpbssd software_tiles::multiply_add<int8_t, int32_t>
#define _tile_dpbf16ps software_tiles::multiply_add<uint16_t, float>
#define __get_cpuid_count software_tiles::cpuid
#define syscall software_tiles::granted
