// Weights in int8 and int4 as packed_layout.h draws them: packed, expanded, and multiplied by float32 rows. Part of
// vector_kernels.inl.

// 16 columns are 16 / kLanes vectors of a line; a vector's 32-bit elements are one column each, and hold 4 of its k.
// kRows x 2 sums again, for two vectors' columns from `column` on.
inline void multiply_int8_tile(const float* a, const char* b, int column, int k, bool accumulate, float* c) {
  constexpr int kStride = packed::kColumns;
  const int right = column + kLanes;
  const size_t left_at = packed::int8_at(column, 0), right_at = packed::int8_at(right, 0);
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    sum[r][0] = accumulate ? load(c + r * kStride + column) : Vec{};
    sum[r][1] = accumulate ? load(c + r * kStride + right) : Vec{};
  }
  for (int i = 0; i < k; i += packed::kDepth, b += packed::kInt8Block) {
    for (const char* line = b; line < b + packed::kTileBytes; line += packed::kLine, a += 4 * kRows) {
      VecI b0, b1;
      std::memcpy(&b0, line + left_at, sizeof(b0));
      std::memcpy(&b1, line + right_at, sizeof(b1));
#pragma GCC unroll 4
      for (int byte = 0; byte < 4; byte++) {  // to the top of its element and down again: its sign spreads
        const Vec w0 = __builtin_convertvector(b0 << (24 - 8 * byte) >> 24, Vec);
        const Vec w1 = __builtin_convertvector(b1 << (24 - 8 * byte) >> 24, Vec);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; r++) {
          const Vec x = splat(a[byte * kRows + r]);
          sum[r][0] += x * w0;
          sum[r][1] += x * w1;
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
    store(c + r * kStride + column, sum[r][0]);
    store(c + r * kStride + right, sum[r][1]);
  }
}

void multiply_int8(const void* packed_a, const void* packed_b, const void*, int64_t, int rows, int k, bool accumulate,
                   float* c) {
  const float* a = static_cast<const float*>(packed_a);
  for (int r = 0; r < rows; r += kRows, a += k * kRows, c += kRows * packed::kColumns) {
    for (int column = 0; column < packed::kColumns; column += kColumns) {
      multiply_int8_tile(a, static_cast<const char*>(packed_b), column, k, accumulate, c);
    }
  }
}

// --- packing ---

// To the nearest integer, ties to even: the sum's last bit is worth 1. For |x| < 2^22.
inline Vec round(Vec x) { return (x + splat(12582912.0f)) - splat(12582912.0f); }

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

// Of x; steps: x / multiplier, rounded, which all zeros share.
inline float squared_error(const float* x, const Vec* steps, Group group) {
  Vec sum{};
  for (int i = 0; i < packed::kGroup; i += kLanes) {
    const Vec clamped = clamp(steps[i / kLanes], float(-group.zero), float(15 - group.zero));
    const Vec e = clamped * splat(float(group.multiplier)) - load(x + i);
    sum += e * e;
  }
  return horizontal_sum(sum);
}

// The group with the least squared error among multipliers that cover the range, or up to 5 less of it, which clips
// the farthest values for finer steps; a multiplier whose values would leave int8 is no candidate.
inline Group best_group(const float* x) {
  float low = 0, high = 0;
  for (int i = 0; i < packed::kGroup; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
  const int widest = int((high - low) / 15) + 1;
  Group best{1, 8};
  float least = __builtin_inff();
  for (int multiplier = widest; multiplier > 0 && multiplier >= widest - 5; multiplier--) {
    if (multiplier > 16) continue;
    Vec steps[packed::kGroup / kLanes];
    for (int i = 0; i < packed::kGroup; i += kLanes) steps[i / kLanes] = round(load(x + i) * splat(1.0f / float(multiplier)));
    const int middle = int(8 - (high + low) / float(2 * multiplier));  // 7.5, rounded
    for (int zero = middle - 1; zero <= middle + 1; zero++) {
      const bool fits = zero >= 0 && zero <= 15 && multiplier * zero <= 128 && multiplier * (15 - zero) <= 127;
      if (!fits) continue;
      const float error = squared_error(x, steps, {multiplier, zero});
      if (error < least) least = error, best = {multiplier, zero};
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
  return (VecU)((VecBytes)((VecPairs)q * (VecPairs)multiplier) - (VecBytes)zero);
}

// Columns [column, column + kLanes) of tile 0, and those 16 further of tile 1, in a block.
inline void expand_columns(const uint8_t* packed_b, int column, uint8_t* out) {
  for (int g = 0; g < packed::kDepth / packed::kGroup; g++) {
    VecU multiplier[2], zero[2];
    for (int tile = 0; tile < 2; tile++) {
      VecUB bytes;
      std::memcpy(&bytes, packed_b + g * packed::kColumns + tile * packed::kTileColumns + column, sizeof(bytes));
      const VecU group = __builtin_convertvector(bytes, VecU);
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
