// The inner loops that differ by instruction set, behind one table of functions chosen at run time.
//
// A matrix product C = A B^T is computed in tiles of C. Both operands are packed first, so that the tile kernel reads
// them from front to back:
//   A (activations)  [row tile][K][rows]        `rows` values of one k stand together
//   B (weights)      [panel][K][columns]        `columns` outputs of one k stand together
#pragma once

#include <cstddef>
#include <cstdint>

namespace skrr::cpu {

// One weight format on one instruction set.
struct TileKernel {
  int rows;       // of a tile of C
  int columns;    // of a tile of C: the width of a weight panel
  size_t a_size;  // bytes of a packed element of A
  size_t b_size;  // bytes of a packed element of B

  // x [valid, k] with rows `stride` apart -> packed [k][rows]; rows past `valid` become zeros.
  void (*pack_a)(const float* x, int valid, int k, int64_t stride, void* packed);
  // w(n, k) at w[n * n_stride + k * k_stride], n < valid -> packed [k][columns]; columns past `valid` become zeros.
  void (*pack_b)(const float* w, int valid, int k, int64_t n_stride, int64_t k_stride, void* packed);
  // c [rows][columns] = (accumulate ? c : 0) + sum over k of a[k][row] * b[k][column]
  void (*multiply)(const void* a, const void* b, int k, bool accumulate, float* c);
};

struct Kernels {
  const char* isa;
  TileKernel f32;
  TileKernel bf16;  // weights rounded to bf16, activations and sums float32

  float (*sum_of_squares)(const float* x, int n);
  // x[i] = exp(x[i] - max x) / sum; -infinity gives 0. At least one x[i] must be finite.
  void (*softmax)(float* x, int n);
  // x[i] = gelu_tanh(x[i]) or relu(x[i]), times gate[i] unless gate is null.
  void (*gelu_tanh)(float* x, const float* gate, int n);
  void (*relu)(float* x, const float* gate, int n);
};

// The best table this processor can run, or the one SKRR_CPU_ISA names (portable, avx2, avx512). Throws ERR_DEVICE for
// a name that is unknown or cannot run here.
const Kernels& kernels();

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

}  // namespace skrr::cpu
