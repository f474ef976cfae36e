// The kernels of kernels.h, written once in GCC's vector types. Each isa_*.cpp includes this with
//   SKRR_LANES  floats in a vector register
//   SKRR_ROWS   rows of a tile: as many as leave registers for two vectors of B and a broadcast of A
// inside an anonymous namespace, after switching the target, so that nothing here is shared between instruction sets; and
// defines multiply_pairs.

constexpr int kLanes = SKRR_LANES;
constexpr int kRows = SKRR_ROWS, kStep = row_step(kRows);
constexpr int kVectors = 2;  // of B per row of the tile
constexpr int kColumns = kVectors * kLanes;
constexpr int kSlice = 16 * 1024 / int(sizeof(float)) / kColumns;  // of K: 16 KB of a panel, half an L1 cache or less

typedef float Vec __attribute__((vector_size(4 * SKRR_LANES)));
typedef int32_t VecI __attribute__((vector_size(4 * SKRR_LANES)));
typedef uint32_t VecU __attribute__((vector_size(4 * SKRR_LANES)));
typedef int8_t VecB __attribute__((vector_size(SKRR_LANES)));
typedef uint8_t VecUB __attribute__((vector_size(SKRR_LANES)));
typedef int16_t VecPairs __attribute__((vector_size(4 * SKRR_LANES)));
typedef uint16_t VecUPairs __attribute__((vector_size(4 * SKRR_LANES)));
typedef uint8_t VecBytes __attribute__((vector_size(4 * SKRR_LANES)));
typedef int32_t VecIUnaligned __attribute__((vector_size(4 * SKRR_LANES), aligned(4), may_alias));
typedef uint16_t VecH __attribute__((vector_size(2 * SKRR_LANES)));
typedef float VecUnaligned __attribute__((vector_size(4 * SKRR_LANES), aligned(4), may_alias));

#include "cpu/opaque.inl"

inline VecI multiply_pairs(VecI x, VecI b);  // of each lane: both int16 of x times both of b, added

inline Vec splat(float x) { return x - Vec{}; }
inline Vec load(const float* p) { return *reinterpret_cast<const VecUnaligned*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<VecUnaligned*>(p) = v; }

#include "cpu/transpose.inl"

// --- tile products ---

inline Vec load_b(const float* b) { return load(b); }
inline Vec load_b(const uint16_t* b) {  // bf16 is the upper half of a float32
  VecH half;
  std::memcpy(&half, b, sizeof(half));
  return (Vec)(__builtin_convertvector(half, VecU) << 16);
}

constexpr int kRun = 32;  // of K

// `rows` rows of a tile: rows x 2 sums stay in registers, A is broadcast element by element. Sums of kRun
// products are added to C: numbers stay small for longer, which halves the rounding of one sum over K for 1 % of its time.
template <int rows, class B>
inline void multiply_tile(const float* a, const B* b, int k, bool accumulate, float* c, Ahead& ahead) {
  for (int done = 0; done < k; done += kRun, accumulate = true) {
    Vec sum[rows][kVectors] = {};
    for (int i = done; i < k && i < done + kRun; i++, a += kRows, b += kColumns) {
      const Vec b0 = load_b(b), b1 = load_b(b + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; r++) {
        const Vec x = splat(a[r]);
        sum[r][0] += x * b0;
        sum[r][1] += x * b1;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < kVectors; v++) {
        float* at = c + r * kColumns + v * kLanes;
        store(at, accumulate ? load(at) + sum[r][v] : sum[r][v]);
      }
    }
    ahead.fetch();
  }
}

// Takes the lowest tile that holds `left` rows.
template <int rows, class B>
inline void multiply_rows(int left, const float* a, const B* b, int k, bool accumulate, float* c, Ahead& ahead) {
  if constexpr (rows > kStep) {
    if (left <= rows - kStep) return multiply_rows<rows - kStep>(left, a, b, k, accumulate, c, ahead);
  }
  multiply_tile<rows>(a, b, k, accumulate, c, ahead);
}

template <class B>
void multiply(const void* packed_a, const void* packed_b, const void* next, int64_t next_bytes, int rows, int k,
              bool accumulate, float* c) {
  const float* a = static_cast<const float*>(packed_a);
  const B* b = static_cast<const B*>(packed_b);
  Ahead ahead(next, next_bytes, (rows + kRows - 1) / kRows * ((k + kRun - 1) / kRun));
  for (; rows > 0; rows -= kRows, a += k * kRows, c += kRows * kColumns) {
    multiply_rows<kRows>(rows, a, b, k, accumulate, c, ahead);
  }
}

double multiply_registers(int64_t rounds) {
  Vec sum[kRows][kVectors] = {}, x = splat(0.5f), b0 = x, b1 = x;
  opaque(b0), opaque(b1);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++) {
      opaque(x);
      sum[r][0] += x * b0;
      sum[r][1] += x * b1;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) opaque(sum[r][0]), opaque(sum[r][1]);
  return 2.0 * double(rounds) * kRows * kVectors * kLanes;
}

void pack_a(const float* x, int valid, int k, int64_t stride, void* packed) {
  transpose<kRows>(x, valid, k, stride, static_cast<float*>(packed));
}

inline void convert(float x, float* out) { *out = x; }
inline void convert(float x, uint16_t* out) { *out = to_bf16(x); }

// out [rows][kColumns]
inline void copy_rows(const float* x, int rows, int64_t stride, float* out) {
  for (int r = 0; r < rows; r++) std::memcpy(out + r * kColumns, x + r * stride, kColumns * sizeof(float));
}

template <class B>
void pack_b(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed) {
  B* out = static_cast<B*>(packed);
  if constexpr (sizeof(B) == sizeof(float)) {  // K and V of every attention pass through here
    if (k_stride == 1) return transpose<kColumns>(w, valid, k, n_stride, out);
    if (n_stride == 1 && valid == kColumns) return copy_rows(w, k, k_stride, out);
  }
  for (int i = 0; i < k; i++) {
    for (int n = 0; n < kColumns; n++) convert(n < valid ? w[n * n_stride + i * k_stride] : 0.0f, out++);
  }
}

// --- element-wise functions ---

// exp, within 2 units in the last place on [-87, 88]; outside the argument is clamped. 2^n * e^r with |r| <= ln2 / 2:
// n is read off the mantissa after adding 1.5 * 2^23, ln2 is subtracted in two parts, e^r is its Taylor sum to r^7.
inline Vec exp_vec(Vec x) {
  const Vec low = splat(-87.0f), high = splat(88.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vec magic = splat(12582912.0f);
  const Vec shifted = x * splat(1.44269504f) + magic;
  const Vec n = shifted - magic;
  Vec r = x - n * splat(0.693359375f);
  r = r - n * splat(-2.12194440e-4f);
  Vec sum = splat(1.0f / 5040);
  sum = sum * r + splat(1.0f / 720);
  sum = sum * r + splat(1.0f / 120);
  sum = sum * r + splat(1.0f / 24);
  sum = sum * r + splat(1.0f / 6);
  sum = sum * r + splat(0.5f);
  sum = sum * r + splat(1.0f);
  sum = sum * r + splat(1.0f);
  return (Vec)((VecI)sum + ((VecI)shifted << 23));
}

inline float horizontal_sum(Vec v) {
  Quad parts[kLanes / 4], sum{};
  std::memcpy(parts, &v, sizeof(v));
  for (const Quad& part : parts) sum += part;
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Calls f on every vector of x[0, n); the tail goes through a padded copy.
template <class F>
inline void for_each_vector(int n, const float* pad_source, float pad, F f) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, kLanes, load(pad_source + i));
  if (i < n) {
    Vec tail = splat(pad);
    std::memcpy(&tail, pad_source + i, size_t(n - i) * sizeof(float));
    f(i, n - i, tail);
  }
}

inline void store_part(float* p, Vec v, int count) {
  if (count == kLanes) store(p, v);
  else std::memcpy(p, &v, size_t(count) * sizeof(float));
}

// Rounds to the nearest integer, ties to even: the sum's last bit is worth 1. For |x| < 2^22.
inline Vec round(Vec x) { return (x + splat(12582912.0f)) - splat(12582912.0f); }

// The bits of the largest |x|, as integers: so infinity is above all numbers, and NaN above infinity.
inline uint32_t max_magnitude(const float* x, int n) {
  const VecI magnitude = VecI{} + 0x7fffffff;
  VecI top[4] = {};  // a comparison takes several cycles: four at a time
  int i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; j++) {
      const VecI size = (VecI)load(x + i + j * kLanes) & magnitude;
      top[j] = size > top[j] ? size : top[j];
    }
  }
  uint32_t largest = 0;
  for (const VecI& part : top) {
    for (int lane = 0; lane < kLanes; lane++) largest = uint32_t(part[lane]) > largest ? uint32_t(part[lane]) : largest;
  }
  for (; i < n; i++) {
    const uint32_t size = bits_of(x[i]) & 0x7fffffffu;
    largest = size > largest ? size : largest;
  }
  return largest;
}

Integers fit_integers(float* x, int n, float max) {
  const uint32_t bits = max_magnitude(x, n);
  if (!is_finite_bits(bits)) {  // no integer stands for these: the scale says so
    for (int i = 0; i < n; i++) x[i] = 0;
    return {__builtin_nanf(""), 0};
  }
  const float largest = float_of(bits), max_factor = __FLT_MAX__;
  const bool tiny = largest > 0 && max / largest > max_factor;  // so near 0 that the factor has no end
  const float factor = tiny ? max_factor : largest > 0 ? max / largest : 0.0f;
  VecI sum{};
  for_each_vector(n, x, 0, [&](int i, int count, Vec v) {
    sum += __builtin_convertvector(round(v * splat(factor)), VecI);
    store_part(x + i, v * splat(factor), count);
  });
  int32_t total = 0;
  for (int i = 0; i < kLanes; i++) total += sum[i];
  return {tiny ? 1 / max_factor : largest / max, total};
}

// In all of x [n / (radix * stride)][radix][stride], radix numbers become their sums and differences, in registers.
template <int radix>
inline void butterflies(float* x, int n, int stride) {
  for (float* end = x + n; x < end; x += radix * stride) {
    int i = 0;
    for (; i + kLanes <= stride; i += kLanes) {
      Vec v[radix];
#pragma GCC unroll 8
      for (int j = 0; j < radix; j++) v[j] = load(x + i + j * stride);
#pragma GCC unroll 3
      for (int half = 1; half < radix; half *= 2) {
#pragma GCC unroll 8
        for (int j = 0; j < radix; j++) {
          if (j & half) continue;
          const Vec a = v[j], b = v[j + half];
          v[j] = a + b;
          v[j + half] = a - b;
        }
      }
#pragma GCC unroll 8
      for (int j = 0; j < radix; j++) store(x + i + j * stride, v[j]);
    }
    for (; i < stride; i++) {  // fewer lanes than a vector's: small models only
      for (int half = 1; half < radix; half *= 2) {
        for (int j = 0; j < radix; j++) {
          if (j & half) continue;
          const float a = x[i + j * stride], b = x[i + (j + half) * stride];
          x[i + j * stride] = a + b;
          x[i + (j + half) * stride] = a - b;
        }
      }
    }
  }
}

void rotate(float* x, int n, int block, int lanes) {
  int done = 1;
  for (; block / done >= 8; done *= 8) butterflies<8>(x, n, done * lanes);  // a third of radix 2's passes through memory
  for (; done < block; done *= 2) butterflies<2>(x, n, done * lanes);
}

void rescale(float* c, int rows, int columns, const float* row_scales, const int32_t* row_offsets,
             const float* column_scales) {
  for (int r = 0; r < rows; r++) {
    const Vec row_scale = splat(row_scales[r]);
    for (int i = 0; i < columns; i += kLanes, c += kLanes) {
      const VecI sums = *reinterpret_cast<const VecIUnaligned*>(c) - row_offsets[r];
      store(c, __builtin_convertvector(sums, Vec) * (row_scale * load(column_scales + i)));
    }
  }
}

void add_rows(const float* x, int x_stride, int rows, int columns, float scale, float* out, int64_t out_stride) {
  for (int r = 0; r < rows; r++, x += x_stride, out += out_stride) {
    int i = 0;
    for (; i + kLanes <= columns; i += kLanes) store(out + i, load(out + i) + splat(scale) * load(x + i));
    for (; i < columns; i++) out[i] += scale * x[i];
  }
}

void softmax(float* x, int rows, const float* bias, float* scales) {
  const Vec lowest = splat(-__builtin_inff());
  Vec top[kVectors], sum[kVectors];
  for (int v = 0; v < kVectors; v++) top[v] = lowest, sum[v] = Vec{};
  for (int r = 0; r < rows; r++) {
    for (int v = 0; v < kVectors; v++) {
      float* at = x + r * kColumns + v * kLanes;
      const Vec score = bias ? load(at) + load(bias + v * kLanes - r) : load(at);
      top[v] = score > top[v] ? score : top[v];
      store(at, score);
    }
  }
  for (int r = 0; r < rows; r++) {
    for (int v = 0; v < kVectors; v++) {
      float* at = x + r * kColumns + v * kLanes;
      const Vec score = load(at);
      // A masked key is -infinity and must weigh nothing at all, not exp of the clamped argument.
      const Vec weight = score == lowest ? Vec{} : exp_vec(score - top[v]);
      sum[v] += weight;
      store(at, weight);
    }
  }
  for (int v = 0; v < kVectors; v++) store(scales + v * kLanes, splat(1.0f) / sum[v]);
}

#include "cpu/activation_kernels.inl"
#include "cpu/row_kernels.inl"
#include "cpu/packed_kernels.inl"

constexpr Kernels make_kernels(const char* isa) {
  return {isa,
          {kRows, kColumns, 1, kSlice, sizeof(float), kColumns * sizeof(float), pack_a, pack_b<float>, multiply<float>,
           multiply_registers},
          {kRows, kColumns, 1, 2 * kSlice, sizeof(float), kColumns * sizeof(uint16_t), pack_a, pack_b<uint16_t>,
           multiply<uint16_t>, multiply_registers},
          dot::tile_kernel<dot::Int16>(pack_int8),
          int4_kernel(),
          rms_norm,
          layer_norm,
          turn,
          fit_integers,
          rotate,
          rescale,
          add_bias,
          add_rows,
          softcap,
          softmax,
          activate<rectify>,
          activate<gelu_tanh>,
          activate<gelu>,
          activate<quick_gelu>,
          activate<silu>};
}
