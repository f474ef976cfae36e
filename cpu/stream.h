// Stores that bypass the caches, for results larger than the caches: a line is not fetched only to be overwritten.
#pragma once

#include <cstring>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace skrr::cpu {

// Copies n floats; out is 16-byte aligned, n a multiple of 4. Other threads see them after fence_streams().
inline void stream(const float* x, int n, float* out) {
#if defined(__x86_64__)
  for (int i = 0; i < n; i += 4) _mm_stream_ps(out + i, _mm_loadu_ps(x + i));
#else
  std::memcpy(out, x, size_t(n) * sizeof(float));
#endif
}

inline void fence_streams() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace skrr::cpu
