// How int8 and int4 weights lie in memory, and in the files `export` writes: the same on every processor, so that a file
// is mapped and used where it lies.
//
// W [n, k], one row an output, becomes panels of 32 rows; a panel becomes blocks of 64 of K, front to back. Missing rows
// and the end of K are zeros. Values are those of W in the rotated basis (engine/rotation.h) over the scale of their row:
//
//   W[n] = scales[n] * rotate_back(values[n]),   scales: one float32 per row, [panels][32]
//
// int8 block, 2048 bytes: two tiles as AMX and VNNI read them. 4 bytes of a row of activations meet 4 adjacent bytes.
//
//        column   0        1            15
//   k  0..3     [4 bytes][4 bytes] .. [4 bytes]     tile 0: rows 0..15 of the panel
//   k  4..7     [4 bytes] ..
//   ...  (16 lines of 64 bytes)                     then tile 1: rows 16..31
//
// int4 block, 1088 bytes: 64 bytes of groups, then 16 lines of 64 bytes whose low halves are tile 0, and high halves tile 1.
// A group is 32 of K of one row and has a byte: multiplier - 1 in the low half, zero in the high half. A half byte q is
// the int8 value
//
//   multiplier * (q - zero),   multiplier 1..16, zero and q 0..15
//
// so int4 is turned into int8 blocks just before they are multiplied, and every int8 kernel serves it ("progressive"
// quantisation: QServe, arXiv 2405.04532).
//
//   groups: k 0..31 of rows 0..31, k 32..63 of rows 0..31
//
// Little-endian throughout. No address needs to be aligned; multiples of 64 are fastest.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skrr::packed {

constexpr int kVersion = 1;            // of this layout and of engine/rotation.h; files of another version are refused
constexpr int kColumns = 32;           // outputs of a panel
constexpr int kDepth = 64;             // of K in a block
constexpr int kTileColumns = 16;       // of a tile
constexpr int kLine = 64;              // bytes: 4 of K of a tile's columns
constexpr int kTileBytes = kDepth / 4 * kLine;
constexpr int kInt8Block = 2 * kTileBytes;
constexpr int kGroup = 32;             // of K that share a multiplier and a zero
constexpr int kGroupBytes = kDepth / kGroup * kColumns;
constexpr int kInt4Block = kGroupBytes + kTileBytes;

// Bytes of a panel over k, in blocks of kInt8Block or kInt4Block bytes.
inline size_t panel_bytes(int64_t k, int block_bytes) { return size_t((k + kDepth - 1) / kDepth) * size_t(block_bytes); }

// The offset of row n, element k in an int8 panel.
inline size_t int8_at(int n, int64_t k) {
  const int64_t block = k / kDepth, quad = k % kDepth / 4;
  return size_t(block * kInt8Block + n / kTileColumns * kTileBytes + quad * kLine + n % kTileColumns * 4 + k % 4);
}

// The int8 value of row n, element k of an int4 panel.
inline int int4_value(const uint8_t* panel, int n, int64_t k) {
  const uint8_t* block = panel + k / kDepth * kInt4Block;
  const int group = block[k % kDepth / kGroup * kColumns + n];
  const int both = block[size_t(kGroupBytes) + int8_at(n % kTileColumns, k % kDepth)];
  const int q = n < kTileColumns ? both & 15 : both >> 4;
  return (1 + (group & 15)) * (q - (group >> 4));
}

}  // namespace skrr::packed
