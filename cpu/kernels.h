// The inner loops that differ by instruction set, as one kernel table (Kernels) each, chosen at run time.
//
// A matrix product C = A B^T is computed in tiles of C. Both operands are packed first, so that the tile kernel reads
// them from front to back. K is cut into slices, so that a slice of a panel of B stays in the L1 cache while the rows
// of A pass by; it is padded with zeros to whole `depth`s.
//
//   A (activations)  [K slice][row tile][block]     a block holds `rows` rows x `depth` of K, in the kernel's own order
//   B (weights)      [panel][K slice][block]        a block holds `columns` outputs x `depth` of K
//
// float32 (depth 1): the values of one k stand together. Blocks of bf16 are drawn in isa_amx.cpp (A) and dot_kernels.inl (B, and
// A without AMX). B in int8 and int4 is laid out alike everywhere (engine/packed_layout.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace skrr::cpu {

constexpr int kMaxColumns = 32;  // of any TileKernel

// The last row tile may be lower than the others, by multiples of this: a quarter of a tile of 12, a third of one of 6.
constexpr int row_step(int rows) { return rows / (rows % 4 == 0 ? 4 : 3); }

// One weight format on one instruction set.
struct TileKernel {
  int rows;       // of a tile of C
  int columns;    // of a tile of C: the width of a weight panel
  int depth;      // of a block: K is padded to a multiple of it
  int slice;      // of K, a multiple of `depth` and of `columns`; with it the order of every sum is fixed
  size_t a_size;   // bytes of a packed element of A
  int block_bytes;  // of a block of B

  // x [valid, k] with rows `stride` apart -> the blocks of one row tile; what is past `valid` and k becomes zeros.
  void (*pack_a)(const float* x, int valid, int k, int64_t stride, void* packed);
  // w(n, k) at w[n * n_stride + k * k_stride], n < valid -> the blocks of one panel; the rest becomes zeros.
  void (*pack_b)(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed);
  // Row tiles of A (`rows` rows in all, ceil(rows / kernel.rows) tiles) times one panel, over k (a multiple of depth):
  // c [tile][kernel.rows][columns] = (accumulate ? c : 0) + sum over k of a[row][k] * b[column][k].
  // `next_bytes` from `next` on are bytes of B that will be needed soon.
  void (*multiply)(const void* a, const void* b, const void* next, int64_t next_bytes, int rows, int k, bool accumulate,
                   float* c);

  // `rounds` rounds of the instructions that `multiply` multiplies with, on registers alone: what no product outruns.
  // Returns the multiplications and additions that these are. A benchmark times it.
  double (*multiply_registers)(int64_t rounds);

  // int8, int4: rows of X and W are rotated (engine/rotation.h) and divided by a scale before they are packed, so that both
  // are integers, and C is int32 until it is rescaled. X's integers go up to +-integer_max; 0: numbers are packed as they are.
  int integer_max = 0;
  // `multiply` adds this to every element of B, because its instruction takes one operand unsigned: C is too large by this
  // times the sum of a row of A.
  int b_offset = 0;
  // int4: blocks over k (a multiple of depth) -> int8 blocks, which are what `multiply` takes. Null in other formats.
  void (*expand)(const void* packed, int k, void* blocks) = nullptr;

  // Called on a thread before its first and after its last multiply of a task; null where nothing is to be done.
  void (*enter)() = nullptr;
  void (*leave)() = nullptr;

  bool is_integer() const { return integer_max > 0; }
};

// A row that was scaled to integers.
struct Integers {
  float scale;  // turns the integers back; NaN where a number is NaN or infinite, and the integers are zeros
  int32_t sum;  // of the integers
};

struct Kernels {
  const char* isa;
  TileKernel f32;
  TileKernel bf16;  // weights in bf16, sums float32; activations bf16 where the hardware multiplies that
  TileKernel int8;  // activations of 8 bits too where the hardware multiplies that, of 11 elsewhere
  TileKernel int4;  // int8's products of weights in int4

  // RMS norm of x [n]: out = x / sqrt(mean(x^2) + epsilon) * weight; no mean is subtracted, there is no bias. Computed in
  // double: a factor that is off in its last bit is off for a whole row. `out` overlaps neither x nor weight.
  void (*rms_norm)(const float* x, const float* weight, int n, double epsilon, float* out);
  // out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias, likewise; bias null: zeros.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int n, double epsilon, float* out);
  // Rotary positions, in place: pair j of x [n] turns by the angle whose cosine and sine are cosines[j] and sines[j]. Pairs are
  // (2j, 2j + 1) where `interleaved`, else (j, j + pairs). Then all of x is multiplied by `factor`.
  void (*turn)(float* x, int n, const float* cosines, const float* sines, int pairs, bool interleaved, float factor);
  // Scales x in place to the range +-`max`. Packing rounds to the nearest integer, ties to even; the sum already does.
  Integers (*fit_integers)(float* x, int n, float max);
  // In place, x as [n / (block * lanes)][block][lanes]: the Hadamard transform (sums and differences, each number times
  // +1 or -1, of `block` numbers) along the middle axis. Twice gives block * x. See engine/rotation.h.
  void (*rotate)(float* x, int n, int block, int lanes);
  // c [rows][columns], int32 = (c - row_offsets[row]) * row_scales[row] * column_scales[column], as float32.
  void (*rescale)(float* c, int rows, int columns, const float* row_scales, const int32_t* row_offsets,
                  const float* column_scales);
  // c [rows][columns] += bias [columns]; columns as a TileKernel has them.
  void (*add_bias)(float* c, int rows, int columns, const float* bias);
  // out [rows][columns], rows `out_stride` apart, += scale * x [rows][columns], rows `x_stride` apart.
  void (*add_rows)(const float* x, int x_stride, int rows, int columns, float scale, float* out, int64_t out_stride);
  // x [n] = cap * tanh(x / cap)
  void (*softcap)(float* x, int n, float cap);
  // With s = x [rows][f32.columns] + bias[column - row]: x becomes exp(s - max of its column of s), and scales [columns]
  // 1 / the sum of each column of x. -infinity gives 0; every column has a finite number. bias null: zeros.
  void (*softmax)(float* x, int rows, const float* bias, float* scales);
  // x[i] = relu(x[i]) and so on (engine/activation.h), times gate[i] unless gate is null.
  void (*relu)(float* x, const float* gate, int n);
  void (*gelu_tanh)(float* x, const float* gate, int n);
  void (*gelu)(float* x, const float* gate, int n);
  void (*quick_gelu)(float* x, const float* gate, int n);
  void (*silu)(float* x, const float* gate, int n);
};

// The kernel table `kernels` with the int8 and int4 products of `int8`; weights are packed and expanded as before.
inline Kernels with_int8(Kernels kernels, const char* isa, const TileKernel& int8) {
  const TileKernel int4 = kernels.int4;
  kernels.isa = isa;
  kernels.int8 = kernels.int4 = int8;
  kernels.int4.block_bytes = int4.block_bytes, kernels.int4.pack_b = int4.pack_b, kernels.int4.expand = int4.expand;
  return kernels;
}

// The best kernel table this processor can run, or the one SKRR_CPU_ISA names (portable, avx2, avxvnni, avx512, avx512vnni,
// avx512bf16, amx; dotprod on arm64). Throws ERR_DEVICE for a name that is unknown or cannot run here.
const Kernels& kernels();

// Names of all kernel tables this processor can run.
std::vector<std::string> isas();

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
const Kernels& avxvnni_kernels();
const Kernels& vnni_kernels();
const Kernels& avx512bf16_kernels();
const Kernels& amx_kernels();
bool avxvnni_runs_here();
bool amx_runs_here();  // also asks the system for the right to use tile registers
#elif defined(__aarch64__)
const Kernels& dotprod_kernels();
bool dotprod_runs_here();
#endif

}  // namespace skrr::cpu
