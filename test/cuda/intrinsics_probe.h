// What the device operations of cuda/intrinsics.cuh answer to random bits: intrinsics_probe.cu runs them, test_intrinsics.cpp
// compares a GPU with the emulated machine.
#pragma once

#include <cstdint>

#include "cuda/types.h"

namespace skrr::cuda {

constexpr int kProbeBlocks = 64;

// Random bits of one thread.
struct alignas(16) ProbeInput {
  uint32_t copied[8];     // two rows of 16 bytes for cp.async; the lowest bit of the first says whether the copy is valid
  uint32_t a[4], b[2];    // fragments of mma.sync: two bf16 each, 0.5 to 2 in magnitude
  float c[4];             // its sums
  float packed[2];        // for bf16x2
  float exponent;         // for ex2, -20 to 20
  float divisor;          // for rcp, 1 to 2 in magnitude
};

// The answers, by thread.
struct ProbeOutput {
  uint32_t matrices[4], transposed[4];  // of ldmatrix on all 32 lanes' first rows, after cp.async
  float sums[4];
  uint32_t packed;
  float power, reciprocal;
};

void probe_intrinsics(Stream stream, const ProbeInput* in, ProbeOutput* out);  // [kProbeBlocks, 32] of both

}  // namespace skrr::cuda
