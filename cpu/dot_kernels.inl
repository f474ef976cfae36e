// Products by instructions that multiply the 4 bytes of each lane by 4 others and add the products to the lane: 4 int8 (VNNI),
// 2 bf16 or 2 int16. Each isa_*.cpp that includes this, inside an anonymous namespace and under its target, sets SKRR_LANES
// and SKRR_ROWS as for vector_kernels.inl, and has a Format for what differs:
//
//   kDepth         of K in a block of B
//   kIntegerMax    TileKernel's integer_max
//   kOffset        TileKernel's b_offset
//   kParts         operands in a line of B, multiplied one block after the other: 2 where int8 is widened, else 1
//   part(b, p)     a vector of B as the instruction takes it
//   dot(sum, x, b) sum + x b
//   round(x, out)  kDepth numbers of a row of A to kParts * 64 bytes
//
//   A  [block][part][k][row][4 bytes]           a row's 4 bytes are broadcast to all lanes
//   B  [block][tile][k][16 columns][4 bytes]    a block is 64 bytes of K of 32 columns, a tile 16 of them (packed_layout.h)

constexpr int kLanes = SKRR_LANES, kRows = SKRR_ROWS, kStep = row_step(kRows);
constexpr int kBytes = 4;        // of K in a lane
constexpr int kBlockDepth = 64;  // bytes of K in a block
constexpr int kTileColumns = 16, kColumns = 2 * kTileColumns, kVectors = kColumns / kLanes;
constexpr int kLine = kTileColumns * kBytes, kTileBytes = kBlockDepth / kBytes * kLine, kBlockBytes = 2 * kTileBytes;
constexpr int kSliceBlocks = 8;  // 16 KB of a panel: half an L1 cache or less; 4096 of K are slices of one length

typedef int32_t VecI __attribute__((vector_size(4 * SKRR_LANES)));

#include "cpu/transpose.inl"
#include "cpu/opaque.inl"

inline VecI load(const void* from) {
  VecI v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

inline VecI broadcast(const char* four) {
  int32_t bits;
  std::memcpy(&bits, four, kBytes);
  return bits - VecI{};
}

// The nearest integer, ties to even, in the low 22 bits: those of 1.5 * 2^23 are worth 1 and up.
inline int32_t nearest(float x) { return int32_t(bits_of(x + 12582912.0f)); }

// `count` numbers up to +-127 to int8.
template <int count>
inline void round_bytes(const float* x, void* out) {
  int8_t bytes[count];  // not `out` itself, which might be x for all a compiler knows
  for (int i = 0; i < count; i++) bytes[i] = int8_t(nearest(x[i]));
  std::memcpy(out, bytes, sizeof(bytes));
}

// The offset of columns [v * kLanes, ...) in a block's first line.
constexpr int vector_at(int v) { return v * kLanes / kTileColumns * kTileBytes + v * kLanes % kTileColumns * kBytes; }

template <class Format>
void pack_a(const float* x, int valid, int k, int64_t stride, void* packed) {
  constexpr int kDepth = Format::kDepth, kWords = Format::kParts * kBlockDepth / kBytes;
  float rows[kRows * kWords] = {};  // a block of them, rounded; floats are what transpose() moves
  float* out = static_cast<float*>(packed);
  for (int k0 = 0; k0 < k; k0 += kDepth, out += kRows * kWords) {
    for (int r = 0; r < valid; r++) {
      const float* from = x + r * stride + k0;
      float padded[kDepth] = {};
      if (k - k0 < kDepth) from = static_cast<const float*>(std::memcpy(padded, from, size_t(k - k0) * sizeof(float)));
      Format::round(from, rows + r * kWords);
    }
    transpose<kRows>(rows, kRows, kWords, kWords, out);
  }
}

// `rows` rows of a tile of A times two vectors of columns, v and v + 1, of a slice of a panel. rows x 2 sums stay in registers.
template <class Format, int rows>
inline void multiply_tile(const char* a, const char* b, int v, int blocks, bool accumulate, float* c, Ahead& ahead) {
  const char *left = b + vector_at(v), *right = b + vector_at(v + 1);
  c += v * kLanes;
  VecI sum[rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    for (int i = 0; i < 2; i++) sum[r][i] = accumulate ? load(c + r * kColumns + i * kLanes) : VecI{};
  }
  for (; blocks > 0; blocks--, left += kBlockBytes, right += kBlockBytes) {
#pragma GCC unroll 2
    for (int p = 0; p < Format::kParts; p++) {
      for (int line = 0; line < kTileBytes; line += kLine, a += kRows * kBytes) {
        const VecI b0 = Format::part(load(left + line), p), b1 = Format::part(load(right + line), p);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
          const VecI x = broadcast(a + r * kBytes);
          sum[r][0] = Format::dot(sum[r][0], x, b0);
          sum[r][1] = Format::dot(sum[r][1], x, b1);
        }
      }
    }
    ahead.fetch();
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    for (int i = 0; i < 2; i++) std::memcpy(c + r * kColumns + i * kLanes, &sum[r][i], sizeof(VecI));
  }
}

// Takes the lowest tile that holds `left` rows.
template <class Format, int rows = kRows>
inline void multiply_rows(int left, const char* a, const char* b, int v, int blocks, bool accumulate, float* c, Ahead& ahead) {
  if constexpr (rows > kStep) {
    if (left <= rows - kStep) return multiply_rows<Format, rows - kStep>(left, a, b, v, blocks, accumulate, c, ahead);
  }
  multiply_tile<Format, rows>(a, b, v, blocks, accumulate, c, ahead);
}

template <class Format>
void multiply(const void* packed_a, const void* packed_b, const void* next, int64_t next_bytes, int rows, int k,
              bool accumulate, float* c) {
  const char* a = static_cast<const char*>(packed_a);
  const char* b = static_cast<const char*>(packed_b);
  const int blocks = k / Format::kDepth;
  Ahead ahead(next, next_bytes, blocks * kVectors / 2 * ((rows + kRows - 1) / kRows));
  for (; rows > 0; rows -= kRows, a += blocks * kRows * Format::kParts * kBlockDepth, c += kRows * kColumns) {
    for (int v = 0; v < kVectors; v += 2) {
      multiply_rows<Format>(rows, a, b, v, blocks, accumulate, c, ahead);
    }
  }
}

template <class Format>
double multiply_registers(int64_t rounds) {
  constexpr int32_t kOnes = Format::kIntegerMax > 0 ? 1 : 0x3f803f80;  // two of bf16's 1, or a 1 that no sum overflows with
  VecI sum[kRows][2] = {}, x = kOnes - VecI{}, b0 = x, b1 = x;
  opaque(b0), opaque(b1);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++) {
      opaque(x);
      sum[r][0] = Format::dot(sum[r][0], x, b0);
      sum[r][1] = Format::dot(sum[r][1], x, b1);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) opaque(sum[r][0]), opaque(sum[r][1]);
  return 2.0 * double(rounds) * kRows * 2 * kLanes * (Format::kDepth / (Format::kParts * kBlockDepth / kBytes));
}

template <class Format>
constexpr TileKernel tile_kernel(decltype(TileKernel::pack_b) pack_b) {
  return {kRows, kColumns, Format::kDepth, kSliceBlocks * Format::kDepth, Format::kParts * kBlockDepth / Format::kDepth,
          kBlockBytes, pack_a<Format>, pack_b, multiply<Format>,
          multiply_registers<Format>, Format::kIntegerMax, Format::kOffset};
}
