// The emulated half of cuda/intrinsics.cuh: CUDA's keywords, vector types and built-in variables as the host's compiler
// understands them, and the device operations kernels are written with, as operations of the machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/types.h"
#include "engine/numeric.h"
#include "test/simt/machine.h"
#include "test/simt/place.h"

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define SKRR_DEVICE inline

#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define gridDim (::simt::grid_size())
#define SKRR_SHARED_MEMORY(name) unsigned char* const name = ::simt::shared_memory()

using dim3 = simt::Dim3;
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace simt {

// Constant while a kernel's thread runs, hence the attribute: the compiler may keep them.
Dim3 thread_index() __attribute__((const));
Dim3 block_index() __attribute__((const));
Dim3 grid_size() __attribute__((const));
unsigned char* shared_memory() __attribute__((const));

void sync_threads(const Place& place);
uint32_t shuffle_xor(uint32_t mask, uint32_t value, int lane_mask, const Place& place);

}  // namespace simt

inline void __syncthreads(const simt::Place& place = simt::Place::here()) { simt::sync_threads(place); }

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, const simt::Place& place = simt::Place::here()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "as CUDA has it");
  uint32_t words[sizeof(T) / 4];
  std::memcpy(words, &value, sizeof(T));
  for (uint32_t& word : words) word = simt::shuffle_xor(mask, word, lane_mask, place);
  std::memcpy(&value, words, sizeof(T));
  return value;
}

namespace skrr::cuda {

using simt::Place;

void sync_warp(const Place& place = Place::here());

// --- asynchronous copies: data arrives at the wait, and until then the destination holds NaN ---
uint32_t shared_address(const void* shared, const Place& place = Place::here());
void cp_async_16(uint32_t destination, const void* source, bool valid, const Place& place = Place::here());
void cp_async_commit();
void wait_for_groups(int still_in_flight);
template <int kStillInFlight>
inline void cp_async_wait() {
  wait_for_groups(kStillInFlight);
}

// --- tensor cores ---
void ldmatrix_x4(uint32_t (&r)[4], uint32_t row_address, const Place& place = Place::here());
void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row_address, const Place& place = Place::here());
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Place& place = Place::here());

// --- arithmetic ---
inline uint32_t pack_bf16x2(float low, float high) { return uint32_t(to_bf16(low)) | uint32_t(to_bf16(high)) << 16; }
inline float widen(bf16 x) { return from_bf16(x.bits); }
inline bf16 narrow(float x) { return {to_bf16(x)}; }
// The hardware's approximations flush subnormal results to zero.
inline float exp2_approx(float x) {
  const float y = exp2f(x);
  return std::fabs(y) < 1.17549435e-38f ? 0.0f : y;
}
inline float reciprocal_approx(float x) { return 1.0f / x; }

// --- 16-byte accesses ---
inline float4 load_float4(const float* p) {
  float4 v;
  __builtin_memcpy(&v, __builtin_assume_aligned(p, 16), 16);
  return v;
}
inline void store_float4(float* p, const float4& v) { __builtin_memcpy(__builtin_assume_aligned(p, 16), &v, 16); }

// --- launch ---
// The arguments are copied now, as CUDA does, and handed to each thread by code that is not instrumented: reading them
// is none of the kernel's memory accesses.
template <class... Parameters, class... Arguments>
void launch_clusters(Stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, unsigned cluster, size_t shared_bytes,
                     Arguments... arguments) {
  const auto call = [=]() __attribute__((no_sanitize_thread)) { kernel(Parameters(arguments)...); };
  using Call = decltype(call);
  struct Entry {
    __attribute__((no_sanitize_thread)) static void run(const void* arguments) {
      alignas(Call) unsigned char call[sizeof(Call)];  // each thread has its parameters, aligned as they want to be
      std::memcpy(call, arguments, sizeof call);
      (*reinterpret_cast<const Call*>(call))();
    }
  };
  static_assert(std::is_trivially_copyable_v<Call>, "kernels take plain values");
  // The arguments as a CUDA kernel's parameters lie, for its PTX.
  unsigned char parameters[(1 + ... + (sizeof(Parameters) + alignof(Parameters)))];
  size_t parameter_bytes = 0;
  const auto add_parameter = [&](const void* value, size_t bytes, size_t alignment) {
    parameter_bytes = (parameter_bytes + alignment - 1) / alignment * alignment;
    std::memcpy(parameters + parameter_bytes, value, bytes);
    parameter_bytes += bytes;
  };
  const auto add_as = [&](auto value) { add_parameter(&value, sizeof value, alignof(decltype(value))); };
  (add_as(Parameters(arguments)), ...);
  const simt::Kernel entry{reinterpret_cast<const void*>(kernel), &Entry::run, &call, sizeof call, parameters,
                           parameter_bytes};
  simt::launch(grid, block, cluster, shared_bytes, entry);
}
template <class... Parameters, class... Arguments>
void launch(Stream stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments... arguments) {
  launch_clusters(stream, kernel, grid, block, 1, shared_bytes, arguments...);
}

}  // namespace skrr::cuda
