// For loops that are timed: part of vector_kernels.inl and dot_kernels.inl, which each instruction set compiles for itself.

#ifdef __aarch64__
#define SKRR_VECTOR_REGISTER "+w"
#else
#define SKRR_VECTOR_REGISTER "+v"
#endif

// Makes a compiler forget what is in a vector register. No instruction is emitted.
template <class V>
inline void opaque(V& v) {
  asm volatile("" : SKRR_VECTOR_REGISTER(v));
}

#undef SKRR_VECTOR_REGISTER
