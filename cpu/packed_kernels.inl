// Weights in int8 and int4 as packed_layout.h draws them: packed, expanded, and multiplied. Part of vector_kernels.inl.

// --- products ---

namespace dot {
#include "cpu/dot_kernels.inl"

// For processors with no instruction that multiplies bytes without rounding their sums: int8 is widened to int16, of which
// `multiply_pairs` multiplies two a lane. Rows may have 11 bits at no cost, which keeps sums of 16384 products within int32.
struct Int16 {
  static constexpr int kDepth = packed::kDepth, kParts = 2;
  static constexpr int kIntegerMax = 1023, kOffset = 0;

  // Bytes 0 and 2 of each lane, or bytes 1 and 3, with their signs.
  static VecI part(VecI b, int p) { return (VecI)((p == 0 ? (VecPairs)b << 8 : (VecPairs)b) >> 8); }
  static VecI dot(VecI sum, VecI x, VecI b) { return sum + multiply_pairs(x, b); }

  static void round(const float* x, void* out) {
    int16_t pairs[kDepth];
    for (int i = 0; i < kDepth; i++) pairs[i % 2 * (kDepth / 2) + i / 2] = int16_t(nearest(x[i]));
    std::memcpy(out, pairs, sizeof(pairs));
  }
};
}  // namespace dot

// --- packing ---

// kDepth of K of one row from k0 on; zeros past its end.
inline void read_depth(const float* row, int k, int k0, int64_t k_stride, float* out) {
  for (int i = 0; i < packed::kDepth; i++) out[i] = k0 + i < k ? row[(k0 + i) * k_stride] : 0.0f;
}

// Writes the block's kDepth values of row n: 4 of them a line.
inline void write_int8(const int8_t* values, int n, char* block) {
  for (int i = 0; i < packed::kDepth; i += 4) std::memcpy(block + packed::int8_at(n, i), values + i, 4);
}

void pack_int8(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed_b) {
  char* block = static_cast<char*>(packed_b);
  for (int k0 = 0; k0 < k; k0 += packed::kDepth, block += packed::kInt8Block) {
    for (int n = 0; n < packed::kColumns; n++) {
      float x[packed::kDepth] = {};
      int8_t values[packed::kDepth];
      if (n < valid) read_depth(w + n * n_stride, k, k0, k_stride, x);
      for (int i = 0; i < packed::kDepth; i += kLanes) {
        const VecB bytes = __builtin_convertvector(__builtin_convertvector(round(load(x + i)), VecI), VecB);
        std::memcpy(values + i, &bytes, sizeof(bytes));
      }
      write_int8(values, n, block);
    }
  }
}

// A group of int4: x is about multiplier * (q - zero).
struct Group {
  int multiplier, zero;
};

inline Vec clamp(Vec x, float low, float high) {
  x = x < splat(low) ? splat(low) : x;
  return x > splat(high) ? splat(high) : x;
}

// q of kLanes values
inline Vec quantise(Vec x, Group group) {
  return clamp(round(x * splat(1.0f / float(group.multiplier))) + splat(float(group.zero)), 0, 15);
}

// The error of x in a group; steps: x / multiplier, rounded, which all zeros share.
inline float squared_error(const float* x, const Vec* steps, Group group) {
  Vec sum{};
  for (int i = 0; i < packed::kGroup; i += kLanes) {
    const Vec clamped = clamp(steps[i / kLanes], float(-group.zero), float(15 - group.zero));
    const Vec e = clamped * splat(float(group.multiplier)) - load(x + i);
    sum += e * e;
  }
  return horizontal_sum(sum);
}

// The group with the smallest squared error among multipliers that cover the range, or up to 5 less of it, which clips
// the farthest values for finer steps; a multiplier whose values would leave int8 is left out.
inline Group best_group(const float* x) {
  float low = 0, high = 0;
  for (int i = 0; i < packed::kGroup; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
  const int widest = int((high - low) / 15) + 1;
  Group best{1, 8};
  float min_error = __builtin_inff();
  for (int multiplier = widest; multiplier > 0 && multiplier >= widest - 5; multiplier--) {
    if (multiplier > 16) continue;
    Vec steps[packed::kGroup / kLanes];
    for (int i = 0; i < packed::kGroup; i += kLanes) steps[i / kLanes] = round(load(x + i) * splat(1.0f / float(multiplier)));
    const int middle = int(8 - (high + low) / float(2 * multiplier));  // 7.5, rounded
    for (int zero = middle - 1; zero <= middle + 1; zero++) {
      const bool fits = zero >= 0 && zero <= 15 && multiplier * zero <= 128 && multiplier * (15 - zero) <= 127;
      if (!fits) continue;
      const float error = squared_error(x, steps, {multiplier, zero});
      if (error < min_error) min_error = error, best = {multiplier, zero};
    }
  }
  return best;
}

void pack_int4(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed_b) {
  uint8_t* block = static_cast<uint8_t*>(packed_b);
  for (int k0 = 0; k0 < k; k0 += packed::kDepth, block += packed::kInt4Block) {
    std::memset(block, 0, packed::kInt4Block);
    for (int n = 0; n < valid; n++) {
      float x[packed::kDepth];
      read_depth(w + n * n_stride, k, k0, k_stride, x);
      for (int g = 0; g < packed::kDepth / packed::kGroup; g++) {
        float* values = x + g * packed::kGroup;
        const Group group = best_group(values);
        block[g * packed::kColumns + n] = uint8_t((group.multiplier - 1) | group.zero << 4);
        for (int i = 0; i < packed::kGroup; i += kLanes) store(values + i, quantise(load(values + i), group));
      }
      const int shift = n < packed::kTileColumns ? 0 : 4;
      for (int i = 0; i < packed::kDepth; i++) {
        uint8_t& both = block[size_t(packed::kGroupBytes) + packed::int8_at(n % packed::kTileColumns, i)];
        both = uint8_t(both | int(x[i]) << shift);
      }
    }
  }
}

// --- int4 to int8 ---

// 16-bit products of two bytes at a time: multiplier * q is at most 240, so nothing is carried from byte to byte.
inline VecU apply(VecU q, VecU multiplier, VecU zero) {
  return (VecU)((VecBytes)((VecUPairs)q * (VecUPairs)multiplier) - (VecBytes)zero);
}

// Columns [column, column + kLanes) of tile 0, and those 16 further of tile 1, in a block.
inline void expand_columns(const uint8_t* packed_b, int column, uint8_t* out) {
  for (int g = 0; g < packed::kDepth / packed::kGroup; g++) {
    VecU multiplier[2], zero[2];
    for (int tile = 0; tile < 2; tile++) {
      VecUB bytes;
      std::memcpy(&bytes, packed_b + g * packed::kColumns + tile * packed::kTileColumns + column, sizeof(bytes));
      // In two steps: in one, g++ 12 takes byte by byte.
      const VecU group = __builtin_convertvector(__builtin_convertvector(bytes, VecH), VecU);
      multiplier[tile] = ((group & 15) + 1) * 0x00010001;
      zero[tile] = ((group & 15) + 1) * (group >> 4) * 0x01010101;
    }
    const size_t first = packed::int8_at(column, g * packed::kGroup);
    for (size_t at = first; at < first + packed::kGroup / 4 * packed::kLine; at += packed::kLine) {
      VecU both;
      std::memcpy(&both, packed_b + packed::kGroupBytes + at, sizeof(both));
      const VecU low = apply(both & 0x0f0f0f0f, multiplier[0], zero[0]);
      const VecU high = apply(both >> 4 & 0x0f0f0f0f, multiplier[1], zero[1]);
      std::memcpy(out + at, &low, sizeof(low));
      std::memcpy(out + at + packed::kTileBytes, &high, sizeof(high));
    }
  }
}

void expand_int4(const void* packed_b, int k, void* blocks) {
  const uint8_t* from = static_cast<const uint8_t*>(packed_b);
  uint8_t* out = static_cast<uint8_t*>(blocks);
  for (int i = 0; i < k; i += packed::kDepth, from += packed::kInt4Block, out += packed::kInt8Block) {
    for (int column = 0; column < packed::kTileColumns; column += kLanes) expand_columns(from, column, out);
  }
}

constexpr TileKernel int4_kernel() {
  TileKernel kernel = dot::tile_kernel<dot::Int16>(pack_int4);
  kernel.block_bytes = packed::kInt4Block, kernel.expand = expand_int4;
  return kernel;
}
