// int8 by VNNI, for dot_kernels.inl: unsigned by signed bytes, with sums in int32. `multiply_add` is the instruction.
//
// B is made unsigned by flipping its top bit, which adds 128: sum a (b + 128) = sum a b + 128 sum a.
struct Int8 {
  static constexpr int kDepth = packed::kDepth, kParts = 1;
  static constexpr int kIntegerMax = 127, kOffset = 128;

  static VecI part(VecI b, int) { return b ^ int32_t(0x80808080); }
  static VecI dot(VecI sum, VecI x, VecI b) { return multiply_add(sum, b, x); }

  static void round(const float* x, void* out) { round_bytes<kDepth>(x, out); }
};
